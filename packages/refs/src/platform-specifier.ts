import { RefsError } from "./errors.js";
import { hostPlatform, normalizePlatform, type Platform } from "./platform.js";
import { quote } from "./quotation.js";

const COMPONENT = /^[A-Za-z0-9_.-]{1,64}$/;
const OS = /^[A-Za-z0-9_-]{1,64}$/;
const OS_OPTION = /^[A-Za-z0-9_.%-]*$/;
const PLAIN_BYTE = /^[A-Za-z0-9_.-]$/;
const FORM = "not os[(version+feature)]/arch[/variant]";

/** What Go calls them: a lone word is looked up here to tell whether it names the system or the processor. */
const KNOWN_SYSTEMS = words(
  "aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris windows zos",
);
const KNOWN_ARCHITECTURES = words(
  "386 amd64 amd64p32 arm arm64 arm64be armbe loong64 mips mips64 mips64le mips64p32 mips64p32le mipsle " +
    "ppc ppc64 ppc64le riscv riscv64 s390 s390x sparc sparc64 wasm",
);

/**
 * Reads `os[(version+feature+feature)]/arch[/variant]` and gives its normal form. A lone known system or processor is completed
 * from `host`: `arm64`, `windows(10.0.17763)`. Version and features are percent-encoded where they hold `+ ( ) / %`
 * (the specifiers of containerd's platforms package). Linear in the text's length.
 * @throws {RefsError} `platform_invalid`
 */
export function parsePlatform(text: string, host: Platform = hostPlatform()): Platform {
  const [first = "", architecture, variant, ...rest] = text.split("/", 4);
  const system = readSystem(first, text);
  if (architecture === undefined) return completePlatform(system, host, text);
  const isForm =
    rest.length === 0 && COMPONENT.test(architecture) && (variant === undefined || COMPONENT.test(variant));
  if (!isForm) throw invalid(text, FORM);
  return normalizePlatform({ ...system, architecture, ...(variant !== undefined && { variant }) });
}

/**
 * The normal form as text, `os[(version+feature)]/arch[/variant]`; {@link parsePlatform} reads it back. A character that no part may
 * have is percent-encoded, so that a platform from an untrusted document can be shown.
 */
export function formatPlatform(platform: Platform): string {
  const { os, architecture, variant, osVersion = "", osFeatures = [] } = normalizePlatform(platform);
  const options = [osVersion, ...osFeatures].map(encode).join("+");
  const system = options === "" ? encode(os) : `${encode(os)}(${options})`;
  return [system, encode(architecture), ...(variant === undefined ? [] : [encode(variant)])].join("/");
}

type System = Pick<Platform, "os" | "osVersion" | "osFeatures">;

function readSystem(part: string, text: string): System {
  const open = part.indexOf("(");
  const os = open < 0 ? part : part.slice(0, open);
  if (!OS.test(os) || (open >= 0 && !part.endsWith(")"))) throw invalid(text, FORM);
  if (open < 0) return { os };
  const [osVersion = "", ...osFeatures] = part.slice(open + 1, -1).split("+");
  if (osFeatures.includes("")) throw invalid(text, "an OS feature is empty");
  return { os, osVersion: decode(osVersion, text), osFeatures: osFeatures.map((feature) => decode(feature, text)) };
}

function completePlatform(word: System, host: Platform, text: string): Platform {
  const { architecture, variant } = normalizePlatform(host);
  const system = normalizePlatform({ ...word, architecture, ...(variant !== undefined && { variant }) });
  if (KNOWN_SYSTEMS.has(system.os)) return system;
  const processor = normalizePlatform({ os: host.os, architecture: word.os });
  if (word.osVersion !== undefined || !KNOWN_ARCHITECTURES.has(processor.architecture)) {
    throw invalid(text, "not a known system or processor");
  }
  return processor;
}

function encode(text: string): string {
  if (COMPONENT.test(text)) return text;
  return Array.from(new TextEncoder().encode(text), encodeByte).join("");
}

function encodeByte(byte: number): string {
  const character = String.fromCharCode(byte);
  return PLAIN_BYTE.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
}

function decode(option: string, text: string): string {
  if (!OS_OPTION.test(option)) throw invalid(text, `${quote(option)} is neither an OS version nor a feature`);
  try {
    return decodeURIComponent(option);
  } catch (error) {
    throw invalid(text, `${quote(option)} is not percent-encoded`, error);
  }
}

function words(text: string): ReadonlySet<string> {
  return new Set(text.split(" "));
}

function invalid(text: string, state: string, cause?: unknown): RefsError {
  const message = `cannot parse platform ${quote(text)}: ${state}`;
  return new RefsError("platform_invalid", message, cause === undefined ? undefined : { cause });
}
