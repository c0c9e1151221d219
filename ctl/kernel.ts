/**
 * Asks this machine's kernel and libc, by trying, whether they have what SocksDirect stands on.
 *
 * System calls go through libc's syscall() by Deno.dlopen: no native code of ours is needed, so
 * that `doctor` can still speak when the build failed. Each probe closes what it opened.
 */

const symbols = {
  syscall: {
    parameters: ["i64", "u64", "u64", "u64", "u64", "u64"],
    result: "i64",
  },
  __errno_location: { parameters: [], result: "pointer" },
  gnu_get_libc_version: { parameters: [], result: "pointer", optional: true },
  __rseq_size: { type: "u32", optional: true },
} as const satisfies Deno.ForeignLibraryInterface;

const numbers = {
  x86_64: {
    close: 3,
    socket: 41,
    socketpair: 53,
    getsockopt: 55,
    fcntl: 72,
    eventfd2: 290,
    memfd_create: 319,
    membarrier: 324,
    pidfd_open: 434,
  },
  aarch64: {
    close: 57,
    socket: 198,
    socketpair: 199,
    getsockopt: 209,
    fcntl: 25,
    eventfd2: 19,
    memfd_create: 279,
    membarrier: 283,
    pidfd_open: 434,
  },
} as const;

const AF_UNIX = 1, AF_INET = 2, AF_NETLINK = 16;
const SOCK_STREAM = 1, SOCK_DGRAM = 2, SOCK_SEQPACKET = 5, SOCK_CLOEXEC = 0o2000000;
const NETLINK_SOCK_DIAG = 4;
const SOL_SOCKET = 1, SO_NETNS_COOKIE = 71;
const MFD_CLOEXEC = 1, MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033, F_SEAL_SHRINK = 2, F_SEAL_GROW = 4, F_SEAL_FUTURE_WRITE = 16;
const MEMBARRIER_CMD_QUERY = 0, MEMBARRIER_CMD_GLOBAL_EXPEDITED = 2;

/** Undefined: it is there. Otherwise why not, such as "error 38 (not in this kernel)". */
export type Trouble = string | undefined;

export class Kernel implements Disposable {
  readonly #libc = Deno.dlopen("libc.so.6", symbols);
  readonly #number = numbers[Deno.build.arch as keyof typeof numbers];

  pidfd(): Trouble {
    return this.#try("pidfd_open", [Deno.pid, 0]);
  }

  eventfd(): Trouble {
    return this.#try("eventfd2", [0, 0]);
  }

  sockDiag(): Trouble {
    return this.#try("socket", [AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG]);
  }

  seqpacketPair(): Trouble {
    const pair = new Int32Array(2);
    const trouble = this.#try("socketpair", [AF_UNIX, SOCK_SEQPACKET, 0, address(pair)]);
    if (trouble === undefined) pair.forEach((fd) => this.#call("close", [fd]));
    return trouble;
  }

  memfdSeals(): Trouble {
    const name = new TextEncoder().encode("socksdirect-doctor\0");
    return this.#withFd("memfd_create", [address(name), MFD_CLOEXEC | MFD_ALLOW_SEALING], (fd) => {
      const seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE;
      return this.#try("fcntl", [fd, F_ADD_SEALS, seals]);
    });
  }

  netnsCookie(): Trouble {
    const cookie = new BigUint64Array(1);
    const length = Uint32Array.of(8);
    const wanted = [SOL_SOCKET, SO_NETNS_COOKIE, address(cookie), address(length)];
    return this.#withFd(
      "socket",
      [AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0],
      (fd) => this.#try("getsockopt", [fd, ...wanted]),
    );
  }

  membarrier(): Trouble {
    const commands = this.#call("membarrier", [MEMBARRIER_CMD_QUERY, 0, 0]);
    if (commands < 0) return this.#errorText();
    return (commands & MEMBARRIER_CMD_GLOBAL_EXPEDITED) === 0
      ? "the kernel has no global expedited one"
      : undefined;
  }

  rseq(): Trouble {
    const size = this.#libc.symbols.__rseq_size;
    if (size === null) return "this libc does not register it (glibc does from 2.35)";
    return size === 0 ? "libc did not register it" : undefined;
  }

  libcVersion(): string | undefined {
    const pointer = this.#libc.symbols.gnu_get_libc_version?.() ?? null;
    return pointer === null ? undefined : new Deno.UnsafePointerView(pointer).getCString();
  }

  [Symbol.dispose]() {
    this.#libc.close();
  }

  #call(name: keyof typeof numbers.x86_64, parameters: readonly (number | bigint)[]): number {
    const [a = 0n, b = 0n, c = 0n, d = 0n, e = 0n] = parameters.map(BigInt);
    return Number(this.#libc.symbols.syscall(BigInt(this.#number[name]), a, b, c, d, e));
  }

  /** Whether the call works; closes the descriptor when its result is one. */
  #try(name: keyof typeof numbers.x86_64, parameters: readonly (number | bigint)[]): Trouble {
    const result = this.#call(name, parameters);
    if (result < 0) return this.#errorText();
    if (result > 2) this.#call("close", [result]);
    return undefined;
  }

  #withFd(
    name: keyof typeof numbers.x86_64,
    parameters: readonly (number | bigint)[],
    use: (fd: number) => Trouble,
  ): Trouble {
    const fd = this.#call(name, parameters);
    if (fd < 0) return this.#errorText();
    const trouble = use(fd);
    this.#call("close", [fd]);
    return trouble;
  }

  #errorText(): string {
    const errno = new Deno.UnsafePointerView(this.#libc.symbols.__errno_location()!).getInt32();
    const known: Record<number, string> = {
      1: "not permitted",
      13: "permission denied",
      22: "invalid argument: the kernel is too old",
      24: "too many open files",
      38: "not in this kernel, or forbidden by seccomp",
      92: "unknown option: the kernel is too old",
    };
    return `error ${errno}${known[errno] === undefined ? "" : ` (${known[errno]})`}`;
  }
}

/** The buffer must stay referenced until the call is over: callers hold it in a variable. */
function address(buffer: BufferSource): bigint {
  return Deno.UnsafePointer.value(Deno.UnsafePointer.of(buffer));
}
