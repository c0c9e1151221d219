/**
 * SocksDirect for TypeScript: a monitor as a library, and the native calls and control messages
 * that it is made of. The programs are monitor/main.ts and ctl/main.ts.
 *
 * @module
 */

export { NativeError } from "./ffi/error.ts";
export { nativeLibraryPath } from "./ffi/locate.ts";
export { Native, openNative } from "./ffi/native.ts";
export { type Api, type ApiOptions, startApi } from "./monitor/api.ts";
export { Logger, type LoggerOptions, type LogLevel } from "./monitor/log.ts";
export { defaultQuotas, type Policy, type Quotas, sameUserPolicy } from "./monitor/policy.ts";
export { decodeReply, encode, type Reply, type Request } from "./monitor/protocol.ts";
export { Server, type ServerOptions } from "./monitor/server.ts";
export { claimSocket, defaultControlSocket, SocketClaim } from "./monitor/socket_file.ts";
export { version } from "./monitor/version.ts";
