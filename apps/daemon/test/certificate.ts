import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import type { TlsPair } from "../src/http-server.js";

/** For 127.0.0.1, signed by itself. */
export function makeCertificate(directory: string): TlsPair {
  const [key, cert] = [join(directory, "key.pem"), join(directory, "cert.pem")];
  const subject = ["-subj", "/CN=lamellad", "-addext", "subjectAltName=IP:127.0.0.1"];
  const how = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
  const { status, stderr } = spawnSync("openssl", ["req", ...how, "-keyout", key, "-out", cert, ...subject]);
  if (status !== 0) throw new Error(`cannot make a certificate: ${stderr.toString()}`);
  return { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
}
