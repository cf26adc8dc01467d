import { DatabaseError } from "@lamella/database";
import { ImageStoreError } from "@lamella/image-store";
import { RefsError } from "@lamella/refs";
import { OciClientError } from "@lamella/oci-client";
import { SnapshotError } from "@lamella/snapshot";
import { InvalidArgumentError } from "commander";
import { describe, expect, it } from "vitest";

import { EXIT, exitStatus, Interrupted } from "../src/exit-status.js";

describe("exitStatus()", () => {
  it.each([
    [new RefsError("digest_mismatch", "x"), EXIT.verification],
    [new RefsError("reference_uppercase", "x"), EXIT.usage],
    [new OciClientError("not_found", "x"), EXIT.notFound],
    [new OciClientError("unauthorized", "x"), EXIT.auth],
    [new OciClientError("timeout", "x"), EXIT.network],
    [new OciClientError("busy", "x"), EXIT.busy],
    [new ImageStoreError("not_found", "x"), EXIT.notFound],
    [new ImageStoreError("ambiguous", "x"), EXIT.usage],
    [new ImageStoreError("name_invalid", "x"), EXIT.usage],
    [new ImageStoreError("name_taken", "x"), EXIT.failure],
    [new ImageStoreError("in_use", "x"), EXIT.failure],
    [new ImageStoreError("store_invalid", "x"), EXIT.verification],
    [new ImageStoreError("quota_exceeded", "x"), EXIT.noSpace],
    [new ImageStoreError("no_space", "x"), EXIT.noSpace],
    [new ImageStoreError("too_many_files", "x"), EXIT.failure],
    [new ImageStoreError("io_failed", "x"), EXIT.failure],
    [new ImageStoreError("timeout", "x"), EXIT.network],
    [new ImageStoreError("build_failed", "x"), EXIT.failure],
    [new ImageStoreError("build_cancelled", "x"), EXIT.failure],
    [new ImageStoreError("closed", "x"), EXIT.failure],
    [new SnapshotError("not_found", "x"), EXIT.notFound],
    [new SnapshotError("invalid_argument", "x"), EXIT.usage],
    [new SnapshotError("already_exists", "x"), EXIT.failure],
    [new DatabaseError("no_space", "x"), EXIT.noSpace],
    [new DatabaseError("busy", "x"), EXIT.busy],
    [new DatabaseError("unavailable", "x"), EXIT.failure],
    [new DatabaseError("database_invalid", "x"), EXIT.verification],
    [new DatabaseError("newer_schema", "x"), EXIT.failure],
    [new DatabaseError("closed", "x"), EXIT.failure],
    [new InvalidArgumentError("x"), EXIT.usage],
    [new Error("x"), EXIT.failure],
    ["x", EXIT.failure],
    [new Interrupted("SIGINT"), 130],
    [new Interrupted("SIGTERM"), 143],
  ])("of %s is %d", (error, status) => expect(exitStatus(error)).toBe(status));

  it("finds a full disk however deep it lies", () => {
    const full = Object.assign(new Error("no space"), { code: "ENOSPC" });
    expect(exitStatus(new Error("outer", { cause: new Error("inner", { cause: full }) }))).toBe(EXIT.noSpace);
  });
});
