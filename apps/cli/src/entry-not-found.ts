import { LamellaError } from "@lamella/refs";

export class EntryNotFound extends LamellaError<"not_found"> {
  constructor(source: string, path: string) {
    super("not_found", `cannot find ${JSON.stringify(path)} in ${source}: no such file or directory`);
  }
}
