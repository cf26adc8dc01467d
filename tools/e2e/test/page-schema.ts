import type { Json } from "./page-fixed-state.js";

interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly Json[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | boolean;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
}

export interface OpenApi {
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

interface Where {
  readonly at: string;
  readonly schemas: Readonly<Record<string, Schema>>;
}

/** In what a document is not as a schema says, as far as these go: types, values, and which members there are. */
export function differencesFrom(schema: Schema, value: Json, where: Where): string[] {
  const { at, schemas } = where;
  if (schema.$ref !== undefined) {
    const named = schemas[schema.$ref.slice(schema.$ref.lastIndexOf("/") + 1)];
    return named === undefined ? [`${at} has no schema`] : differencesFrom(named, value, where);
  }
  if (schema.anyOf !== undefined) {
    const tried = schema.anyOf.map((each) => differencesFrom(each, value, where));
    return tried.find((found) => found.length === 0) ?? tried[0] ?? [];
  }
  if (schema.allOf !== undefined) return schema.allOf.flatMap((each) => differencesFrom(each, value, where));
  const types = typeof schema.type === "string" ? [schema.type] : (schema.type ?? []);
  if (types.length > 0 && !types.some((type) => isOfType(value, type))) return [`${at} is no ${types.join(" or ")}`];
  if (schema.enum !== undefined && !schema.enum.includes(value)) return [`${at} is none of its values`];
  if (Array.isArray(value)) {
    const { items = {} } = schema;
    return value.flatMap((each: Json, index) => differencesFrom(items, each, { at: `${at}[${index}]`, schemas }));
  }
  if (value === null || typeof value !== "object" || schema.properties === undefined) return [];
  const { properties, required = [] } = schema;
  const missingOnes = required.filter((key) => !Object.hasOwn(value, key)).map((key) => `${at}.${key} is missing`);
  const others = Object.entries(value as Readonly<Record<string, Json>>).flatMap(([key, member]) => {
    const of = properties[key];
    return of === undefined
      ? [`${at}.${key} is unknown`]
      : differencesFrom(of, member, { at: `${at}.${key}`, schemas });
  });
  return [...missingOnes, ...others].sort();
}

function isOfType(value: Json, type: string): boolean {
  if (type === "integer") return Number.isInteger(value);
  if (type === "array") return Array.isArray(value);
  if (type === "null") return value === null;
  if (type === "object") return typeof value === "object" && value !== null && !Array.isArray(value);
  return typeof value === type;
}
