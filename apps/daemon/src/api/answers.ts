import { z } from "@hono/zod-openapi";
import type { ZodType } from "zod";

import { Problem } from "./schemas.js";

/** What any route answers when it cannot do what it was asked for. */
export const PROBLEM = {
  default: { description: "What went wrong", content: { "application/problem+json": { schema: Problem } } },
} as const;

export function jsonAnswer<Schema extends ZodType>(
  schema: Schema,
  description: string,
): { description: string; content: { "application/json": { schema: Schema } } } {
  return { description, content: { "application/json": { schema } } };
}

/** A body of JSON that need not be there. */
export function jsonBody<Schema extends ZodType>(
  schema: Schema,
  required: boolean,
): { required: boolean; content: { "application/json": { schema: Schema } } } {
  return { required, content: { "application/json": { schema } } };
}

const binary = z.string().openapi({ format: "binary" });
const bytesContent = { "application/octet-stream": { schema: binary } };

/** What a route answers that sends bytes. */
export const BYTES = {
  200: { description: "All of it", content: bytesContent },
  206: {
    description: "The range that was asked for; several ranges are answered with all of it",
    content: bytesContent,
  },
  304: { description: "It is what `If-None-Match` says" },
  416: { description: "Nothing of it is in the range" },
} as const;
