import { createRegistry, createTokenAuthority, staticAccounts } from "@lamella/registry";
import { memoryStorage } from "@lamella/registry/testing";

const authority = createTokenAuthority({
  accounts: staticAccounts([{ username: "ada", password: "swordfish" }], { anonymous: ["pull"] }),
  secret: crypto.getRandomValues(new Uint8Array(32)),
  service: "registry.example.com",
  realm: (request) => new URL("/token", request.url).href,
});
const registry = createRegistry({ storage: memoryStorage(), authorize: authority.authorize });
const serve = (request) => (new URL(request.url).pathname === "/token" ? authority.answer(request) : registry(request));

const push = (headers) => new Request("http://registry/v2/app/blobs/uploads/", { method: "POST", headers });
const refused = await serve(push({}));
console.log(refused.status, refused.headers.get("WWW-Authenticate")); // 401 Bearer realm="http://registry/token",…

const headers = { Authorization: `Basic ${btoa("ada:swordfish")}` };
const answer = await serve(new Request("http://registry/token?scope=repository:app:pull,push", { headers }));
const { token } = await answer.json();
console.log((await serve(push({ Authorization: `Bearer ${token}` }))).status); // 202
