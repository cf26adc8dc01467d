/** The document of the HTTP API, for whoever makes a client; and the types of the one that the tests use. */
import { mkdir, readFile, writeFile } from "node:fs/promises";

import openapiTS, { astToString } from "openapi-typescript";

import { createApi } from "./dist/js/api/api.js";

const { version } = JSON.parse(await readFile("package.json", "utf8"));
const response = await createApi({ version }).request("/openapi.json");
const document = await response.json();
await mkdir("dist/client", { recursive: true });
await writeFile("dist/openapi.json", `${JSON.stringify(document, undefined, 2)}\n`);
await writeFile("dist/client/paths.d.ts", astToString(await openapiTS(document)));
