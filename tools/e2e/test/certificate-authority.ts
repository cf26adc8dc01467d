import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { runCommand } from "@lamella/oracles";

/** A certificate and its key, as files and as the PEM in them. */
export interface Identity {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: string;
  readonly key: string;
}

/** An authority of our own, with all that it makes in one directory. */
export interface CertificateAuthority extends Identity {
  /** Signs a new certificate; `extensions` as openssl's configuration has them. */
  issue(this: void, name: string, extensions: string): Promise<Identity>;
}

const DAYS = "2";

export async function createAuthority(directory: string): Promise<CertificateAuthority> {
  const openssl = (...parameters: string[]) => runCommand("openssl", parameters, { cwd: directory, accept: [0] });
  // RS256 wants RSA
  const newKey = (name: string) => ["-newkey", "rsa:2048", "-nodes", "-subj", `/CN=${name}`, "-keyout", `${name}.key`];
  const identity = (name: string): Identity => {
    const [certFile, keyFile] = [join(directory, `${name}.crt`), join(directory, `${name}.key`)];
    return { certFile, keyFile, cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") };
  };
  await openssl("req", "-x509", ...newKey("ca"), "-days", DAYS, "-out", "ca.crt");
  return {
    ...identity("ca"),
    async issue(name, extensions) {
      writeFileSync(join(directory, `${name}.ext`), `${extensions}\n`);
      await openssl("req", ...newKey(name), "-out", `${name}.csr`);
      const signer = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"];
      const files = ["-in", `${name}.csr`, "-extfile", `${name}.ext`, "-out", `${name}.crt`];
      await openssl("x509", "-req", ...signer, "-days", DAYS, ...files);
      return identity(name);
    },
  };
}
