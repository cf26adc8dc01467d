import { CommanderError } from "commander";

import { messageOf } from "./error-message.js";
import { EXIT, exitStatus, Interrupted } from "./exit-status.js";
import { createProgram } from "./program.js";

// a reader that has seen enough (`lamella ls … | head`) is not a failure
process.stdout.on("error", (error: NodeJS.ErrnoException) =>
  process.exit(error.code === "EPIPE" ? EXIT.ok : EXIT.failure),
);

try {
  const program = await createProgram(process.argv.slice(2));
  await program.parseAsync();
} catch (error) {
  const status = exitStatus(error);
  // commander has printed its own
  if (!(error instanceof CommanderError)) {
    process.stderr.write(`lamella: ${messageOf(error)}\n`);
    const hint = hintFor(status);
    if (hint !== undefined && !(error instanceof Interrupted)) process.stderr.write(`  ${hint}\n`);
  }
  process.exitCode = status;
}

function hintFor(status: number): string | undefined {
  switch (status) {
    case EXIT.auth:
      return "lamella login REGISTRY keeps credentials; those of docker, podman and skopeo are used too";
    case EXIT.network:
      return "what has arrived whole is kept: run the same command again";
    case EXIT.noSpace:
      return "free some space, or choose another place with --root";
    default:
      return undefined;
  }
}
