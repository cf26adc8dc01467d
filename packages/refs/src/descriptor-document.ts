import type { Descriptor } from "./descriptor.js";
import { type Digest, parseDigest } from "./digest.js";
import {
  invalid,
  type JsonObject,
  optionalObject,
  optionalString,
  optionalStringMap,
  optionalStrings,
  requiredString,
} from "./json-document.js";
import type { Platform } from "./platform.js";
import { quote } from "./quotation.js";

/** Printable, without spaces: a media type becomes a header's value. */
const MEDIA_TYPE = /^[\x21-\x7e]{1,255}$/;

/** A descriptor inside a document (OCI image-spec, descriptor.md). */
export function readDescriptor(object: JsonObject): Descriptor {
  const platform = optionalObject(object, "platform");
  const artifactType = optionalString(object, "artifactType");
  const annotations = optionalStringMap(object, "annotations");
  const urls = optionalStrings(object, "urls");
  const data = optionalString(object, "data");
  return {
    mediaType: readMediaType(object, "mediaType"),
    digest: readDigest(object, "digest"),
    size: readSize(object),
    ...(platform !== undefined && { platform: readPlatform(platform) }),
    ...(artifactType !== undefined && { artifactType }),
    ...(annotations !== undefined && { annotations }),
    ...(urls !== undefined && { urls }),
    ...(data !== undefined && { data }),
  };
}

export function readMediaType(object: JsonObject, name: string): string {
  const mediaType = requiredString(object, name);
  if (!MEDIA_TYPE.test(mediaType)) throw invalid(object, name, `is ${quote(mediaType)}, not a media type`);
  return mediaType;
}

function readDigest(object: JsonObject, name: string): Digest {
  return toDigest(requiredString(object, name), object, name);
}

export function toDigest(text: string, object: JsonObject, name: string): Digest {
  try {
    return parseDigest(text);
  } catch (error) {
    throw invalid(object, name, `is ${quote(text)}, not a digest`, error);
  }
}

/** The fields that name a platform: those of a descriptor's `platform` and those of an image config are the same. */
export function readPlatform(object: JsonObject): Platform {
  const variant = optionalString(object, "variant");
  const osVersion = optionalString(object, "os.version");
  const osFeatures = optionalStrings(object, "os.features");
  return {
    os: requiredString(object, "os"),
    architecture: requiredString(object, "architecture"),
    ...(variant !== undefined && variant !== "" && { variant }),
    ...(osVersion !== undefined && osVersion !== "" && { osVersion }),
    ...(osFeatures !== undefined && { osFeatures }),
  };
}

function readSize(object: JsonObject): number {
  const size = object.fields.get("size");
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) {
    throw invalid(object, "size", `is not a whole number from 0 to ${Number.MAX_SAFE_INTEGER}`);
  }
  return size;
}
