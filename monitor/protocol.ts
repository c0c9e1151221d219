/**
 * Control messages as objects: what libraries ask, what the monitor answers. The conversation
 * itself is described in zig/src/protocol.zig. A packet that is not exactly a message is garbage,
 * and `decode` says why.
 */

import { constants, MessageType } from "../ffi/layout.gen.ts";
import {
  readStruct,
  sizeOf,
  structBuffer,
  type StructName,
  type StructValue,
  writeStruct,
} from "../ffi/struct.ts";

const requestStructs = {
  hello: "Hello",
  listen: "Listen",
  unlisten: "Unlisten",
  connect: "Connect",
  ping: "Ping",
  borrow_diag: "BorrowDiag",
} as const;

const replyStructs = {
  welcome: "Welcome",
  listening: "Listening",
  arena: "Arena",
  link: "Link",
  refused: "Refused",
  pong: "Ping",
  diag: "Diag",
} as const;

type Structs = typeof requestStructs & typeof replyStructs;

/** The object form of one type of message; `sequence` goes back with the answer. */
interface MessageOf<T extends keyof Structs> {
  type: T;
  sequence: number;
  body: Omit<StructValue<Structs[T]>, "header">;
}

type MessageUnion<T extends keyof Structs> = { [K in T]: MessageOf<K> }[T];

/** What a library asks. */
export type Request = MessageUnion<keyof typeof requestStructs>;

/** What the monitor answers or, with sequence 0, tells unasked. */
export type Reply = MessageUnion<keyof typeof replyStructs>;

export type ReplyOf<T extends Reply["type"]> = Extract<Reply, { type: T }>;

export class GarbageError extends Error {
  override readonly name = "GarbageError";
}

export function decodeRequest(bytes: Uint8Array): Request {
  return decode(requestStructs, bytes) as Request;
}

/** What a library does with an answer; for tests and probes. */
export function decodeReply(bytes: Uint8Array): Reply {
  return decode(replyStructs, bytes) as Reply;
}

function decode(
  table: Partial<Structs>,
  bytes: Uint8Array,
): { type: string; sequence: number; body: unknown } {
  if (bytes.length < sizeOf("Header")) {
    throw new GarbageError(`a packet of ${bytes.length} bytes is shorter than a message header`);
  }
  const header = readStruct("Header", bytes);
  if (header.magic !== constants.messageMagic) {
    throw new GarbageError(`message magic is 0x${header.magic.toString(16)}`);
  }
  if (header.size !== bytes.length) {
    throw new GarbageError(`a packet of ${bytes.length} bytes says that it has ${header.size}`);
  }
  const type = (Object.keys(table) as (keyof Structs)[])
    .find((name) => MessageType[name] === header.type);
  if (!type) throw new GarbageError(`message type is ${header.type}`);
  const struct = table[type]!;
  if (bytes.length !== sizeOf(struct)) {
    throw new GarbageError(`${type} has ${bytes.length} bytes, not ${sizeOf(struct)}`);
  }
  const { header: _, ...body } = readStruct(struct, bytes);
  return { type, sequence: header.sequence, body };
}

export function encode(message: Request | Reply): Uint8Array<ArrayBuffer> {
  const struct = { ...requestStructs, ...replyStructs }[message.type];
  const size = sizeOf(struct);
  const bytes = structBuffer(struct).subarray(0, size);
  const header = {
    magic: constants.messageMagic,
    type: MessageType[message.type],
    size,
    sequence: message.sequence,
    reserved: 0,
  };
  writeStruct("Header", header, bytes);
  writeStruct<StructName>(struct, message.body as object, bytes);
  return bytes;
}
