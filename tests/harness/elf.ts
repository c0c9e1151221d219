/**
 * What a 64-bit little-endian ELF library has and wants: what `nm -D` and `readelf -dV` would print,
 * without needing binutils on the machine that runs the tests.
 */

export interface DynamicSymbol {
  name: string;
  /** Has an address in this library; else it is wanted from another one. */
  defined: boolean;
  kind: "function" | "object" | "other";
  /** May stay unresolved. */
  weak: boolean;
}

const sectionDynamic = 6;
const sectionDynsym = 11;
const sectionVerneed = 0x6ffffffe;
const tagNeeded = 1n;

export function dynamicSymbols(path: string): DynamicSymbol[] {
  const { bytes, view, sections } = readElf(path);
  const table = sections.find(({ type }) => type === sectionDynsym);
  if (table === undefined) throw new Error(`read symbols of '${path}': it has no .dynsym section`);
  const names = sections[table.link];
  const symbols: DynamicSymbol[] = [];
  for (let at = table.offset + 24; at < table.offset + table.size; at += 24) {
    const info = view.getUint8(at + 4);
    symbols.push({
      name: textAt(bytes, names.offset + view.getUint32(at, true)),
      defined: view.getUint16(at + 6, true) !== 0,
      kind: kindOf(info & 15),
      weak: info >> 4 === 2,
    });
  }
  return symbols;
}

/** The libraries that it names as needed. */
export function neededLibraries(path: string): string[] {
  const { bytes, view, sections } = readElf(path);
  const table = sections.find(({ type }) => type === sectionDynamic);
  if (table === undefined) return [];
  const names = sections[table.link];
  const needed: string[] = [];
  for (let at = table.offset; at < table.offset + table.size; at += 16) {
    if (view.getBigUint64(at, true) !== tagNeeded) continue;
    needed.push(textAt(bytes, names.offset + Number(view.getBigUint64(at + 8, true))));
  }
  return needed;
}

/** The symbol versions that it asks for, such as "GLIBC_2.17", of any library. */
export function neededVersions(path: string): string[] {
  const { bytes, view, sections } = readElf(path);
  const table = sections.find(({ type }) => type === sectionVerneed);
  if (table === undefined) return [];
  const names = sections[table.link];
  const versions: string[] = [];
  // A list of libraries, each with a list of versions; both linked by distances, 0 ends.
  for (let file = table.offset, step = -1; step !== 0; file += step) {
    step = view.getUint32(file + 12, true);
    let version = file + view.getUint32(file + 8, true);
    for (let left = view.getUint16(file + 2, true); left > 0; left--) {
      versions.push(textAt(bytes, names.offset + view.getUint32(version + 8, true)));
      version += view.getUint32(version + 12, true);
    }
  }
  return versions;
}

function readElf(path: string) {
  const bytes = Deno.readFileSync(path);
  const view = new DataView(bytes.buffer);
  if (view.getUint32(0) !== 0x7f454c46 || bytes[4] !== 2 || bytes[5] !== 1) {
    throw new Error(`read '${path}': not a 64-bit little-endian ELF file`);
  }
  return { bytes, view, sections: sectionHeaders(view) };
}

interface Section {
  type: number;
  offset: number;
  size: number;
  link: number;
}

function sectionHeaders(view: DataView): Section[] {
  const start = Number(view.getBigUint64(0x28, true));
  const stride = view.getUint16(0x3a, true);
  const count = view.getUint16(0x3c, true);
  return Array.from({ length: count }, (_, index) => {
    const at = start + index * stride;
    return {
      type: view.getUint32(at + 4, true),
      offset: Number(view.getBigUint64(at + 0x18, true)),
      size: Number(view.getBigUint64(at + 0x20, true)),
      link: view.getUint32(at + 0x28, true),
    };
  });
}

/** STT_OBJECT, STT_FUNC, STT_GNU_IFUNC. */
function kindOf(type: number): DynamicSymbol["kind"] {
  if (type === 2 || type === 10) return "function";
  return type === 1 ? "object" : "other";
}

function textAt(bytes: Uint8Array, offset: number): string {
  return new TextDecoder().decode(bytes.subarray(offset, bytes.indexOf(0, offset)));
}
