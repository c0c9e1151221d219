/**
 * Checks a value against a JSON Schema: the part of draft 2020-12 that docs/bench.schema.json uses.
 * A keyword that it does not know is an error, so that no rule is ever passed over in silence.
 */

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Schema = { [key: string]: Json };

/** What is wrong, each with its path; nothing when the value fits. */
export function schemaErrors(value: Json, schema: Schema, root: Schema = schema): string[] {
  return Object.entries(schema).flatMap(([keyword, rule]) => {
    const check = checks[keyword];
    if (check === undefined) throw new Error(`schema keyword '${keyword}' is not known here`);
    return check(value, rule, { schema, root });
  });
}

interface Place {
  schema: Schema;
  root: Schema;
}

type Check = (value: Json, rule: Json, place: Place) => string[];

const nothing: Check = () => [];

const checks: Record<string, Check> = {
  $schema: nothing,
  $defs: nothing,
  title: nothing,
  description: nothing,
  $ref: (value, rule, { root }) => {
    const target = String(rule).split("/").slice(1).reduce<Json>(
      (at, key) => member(at, key),
      root,
    );
    return schemaErrors(value, target as Schema, root);
  },
  type: (value, rule) => typeOf(value, rule) ? [] : [`: is not of type ${rule}`],
  const: (value, rule) => value === rule ? [] : [`: is ${value} and not ${rule}`],
  enum: (value, rule) =>
    (rule as Json[]).includes(value) ? [] : [`: ${JSON.stringify(value)} is none of ${rule}`],
  minimum: (value, rule) =>
    typeof value === "number" && value < Number(rule) ? [`: ${value} is below ${rule}`] : [],
  minItems: (value, rule) =>
    Array.isArray(value) && value.length < Number(rule) ? [`: fewer than ${rule} items`] : [],
  items: (value, rule, { root }) =>
    Array.isArray(value)
      ? value.flatMap((item, i) => under(`[${i}]`, schemaErrors(item, rule as Schema, root)))
      : [],
  required: (value, rule) =>
    isObject(value)
      ? (rule as string[]).filter((key) => !(key in value)).map((key) => `: '${key}' is missing`)
      : [],
  properties: (value, rule, { root }) =>
    isObject(value)
      ? Object.entries(rule as Record<string, Schema>).flatMap(([key, schema]) =>
        key in value ? under(`.${key}`, schemaErrors(value[key], schema, root)) : []
      )
      : [],
  additionalProperties: (value, rule, { schema, root }) => {
    if (!isObject(value)) return [];
    const known = Object.keys(schema.properties ?? {});
    return Object.keys(value).filter((key) => !known.includes(key)).flatMap((key) =>
      rule === false
        ? [`: '${key}' is not known`]
        : under(`.${key}`, schemaErrors(value[key], rule as Schema, root))
    );
  },
};

function member(at: Json, key: string): Json {
  if (isObject(at) && key in at) return at[key];
  throw new Error(`the schema has no '${key}' that it refers to`);
}

function isObject(value: Json): value is { [key: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function typeOf(value: Json, name: Json): boolean {
  switch (name) {
    case "object":
      return isObject(value);
    case "array":
      return Array.isArray(value);
    case "integer":
      return Number.isInteger(value);
    default: {
      const found: string = typeof value;
      return found === name;
    }
  }
}

function under(path: string, errors: string[]): string[] {
  return errors.map((error) => `${path}${error}`);
}
