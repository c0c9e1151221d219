/**
 * Native structs as plain objects: numbers up to 32 bits are `number`, 64 bits `bigint`, byte
 * arrays `Uint8Array`, structs within structs objects. Offsets and types come from layout.gen.ts;
 * everything is little endian, as on every machine that we run on.
 */

import { structs } from "./layout.gen.ts";

type Structs = typeof structs;
export type StructName = keyof Structs;
type FieldsOf<N extends StructName> = Structs[N]["fields"];

type FieldValue<F> = F extends { type: "array"; of: "u8" } ? Uint8Array
  : F extends { type: "array"; of: "u64" } ? bigint[]
  : F extends { type: "array" } ? number[]
  : F extends { type: "u64" } ? bigint
  : F extends { type: infer N extends StructName } ? StructValue<N>
  : number;

/** The object form of a native struct. */
export type StructValue<N extends StructName> = {
  -readonly [K in keyof FieldsOf<N>]: FieldValue<FieldsOf<N>[K]>;
};

interface Field {
  offset: number;
  type: string;
  of?: string;
  count?: number;
}

const scalarBytes: Record<string, number> = { u8: 1, u16: 2, u32: 4, i32: 4, u64: 8 };

export function sizeOf(name: StructName): number {
  return structs[name].size;
}

/** A buffer for a struct, aligned for 64-bit words, as native code expects. */
export function structBuffer(name: StructName, count = 1): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new BigUint64Array(Math.ceil(sizeOf(name) * count / 8)).buffer);
}

export function readStruct<N extends StructName>(
  name: N,
  bytes: Uint8Array,
  offset = 0,
): StructValue<N> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return readerOf(name)(view, offset) as StructValue<N>;
}

/** Several of them, one after the other. */
export function* readStructs<N extends StructName>(
  name: N,
  bytes: Uint8Array,
  count: number,
): Generator<StructValue<N>> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const read = readerOf(name);
  for (let i = 0; i < count; i++) yield read(view, i * sizeOf(name)) as StructValue<N>;
}

type Reader = (view: DataView, at: number) => unknown;

const scalarReaders: Record<string, Reader> = {
  u8: (view, at) => view.getUint8(at),
  u16: (view, at) => view.getUint16(at, true),
  u32: (view, at) => view.getUint32(at, true),
  i32: (view, at) => view.getInt32(at, true),
  u64: (view, at) => view.getBigUint64(at, true),
};

/** Made once for each struct: listings read tens of thousands of them. */
const structReaders = new Map<StructName, Reader>();

function readerOf(name: StructName): Reader {
  const known = structReaders.get(name);
  if (known) return known;
  const fields = Object.entries<Field>(structs[name].fields)
    .map(([key, field]) => ({ key, offset: field.offset, read: fieldReader(field) }));
  const reader: Reader = (view, base) => {
    const value: Record<string, unknown> = {};
    for (const { key, offset, read } of fields) value[key] = read(view, base + offset);
    return value;
  };
  structReaders.set(name, reader);
  return reader;
}

function fieldReader(field: Field): Reader {
  const scalar = scalarReaders[field.type];
  if (scalar) return scalar;
  if (field.type !== "array") return readerOf(field.type as StructName);
  const { of, count } = field as Required<Field>;
  if (of === "u8") {
    return (view, at) => new Uint8Array(view.buffer, view.byteOffset + at, count).slice();
  }
  const read = scalarReaders[of];
  return (view, at) =>
    Array.from({ length: count }, (_, i) => read(view, at + i * scalarBytes[of]));
}

/** Writes the given fields; the others keep what the buffer holds. */
export function writeStruct<N extends StructName>(
  name: N,
  value: Partial<StructValue<N>>,
  bytes: Uint8Array,
  offset = 0,
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  writeFields(name, value as Record<string, unknown>, view, offset);
}

function writeFields(
  name: StructName,
  value: Record<string, unknown>,
  view: DataView,
  base: number,
): void {
  const fields = structs[name].fields as Record<string, Field>;
  for (const [key, fieldValue] of Object.entries(value)) {
    writeField(fields[key], fieldValue, view, base + fields[key].offset);
  }
}

function writeField(field: Field, value: unknown, view: DataView, at: number): void {
  if (field.type in scalarBytes) return writeScalar(field.type, value, view, at);
  if (field.type !== "array") {
    return writeFields(field.type as StructName, value as Record<string, unknown>, view, at);
  }
  const { of, count } = field as Required<Field>;
  const items = Array.from(value as ArrayLike<unknown>).slice(0, count);
  items.forEach((item, i) => writeScalar(of, item, view, at + i * scalarBytes[of]));
}

function writeScalar(type: string, value: unknown, view: DataView, at: number): void {
  switch (type) {
    case "u8":
      return view.setUint8(at, value as number);
    case "u16":
      return view.setUint16(at, value as number, true);
    case "u32":
      return view.setUint32(at, value as number, true);
    case "i32":
      return view.setInt32(at, value as number, true);
    case "u64":
      return view.setBigUint64(at, value as bigint, true);
    default:
      throw new TypeError(`layout.gen.ts has a field of type "${type}", unknown to struct.ts`);
  }
}
