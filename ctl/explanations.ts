/**
 * What each reason code means to the user and what can be done about it. The names are those of
 * zig/src/reason.zig; a test compares the two lists.
 */

export interface Explanation {
  why: string;
  /** Absent where there is nothing to do. */
  todo?: string;
}

export const explanations: Readonly<Record<string, Explanation>> = {
  none: { why: "nothing stands in the way: both directions may ride the ring" },
  undecided: {
    why: "too few data calls so far: a ring is asked for at the third one",
    todo: "nothing; a connection that goes on talking moves by itself",
  },
  no_monitor: {
    why: "no monitor answers at the control socket of this process",
    todo: "start one ('socksdirect monitor --detach'); running processes find it by themselves",
  },
  no_listener: {
    why: "the monitor knows no accelerated listener at the peer's address",
    todo: "start the server by 'socksdirect run' too, with the same control socket",
  },
  peer_not_local: {
    why: "the peer's address is not on this host, and rings are shared memory of one host",
  },
  not_adopted: {
    why: "nobody adopted the offer: the program that accepted runs without the library",
    todo: "start the server, and what it hands connections to, by 'socksdirect run'",
  },
  policy: {
    why: "the monitor's policy forbids it: rings are for processes of one uid, or with root",
    todo: "run both programs as the same user",
  },
  netns_differs: {
    why: "the two ends are in different network namespaces",
    todo: "run both in one network namespace (containers: share it)",
  },
  quota: {
    why: "this uid's quota of arenas, slots or bytes is used up",
    todo: "close idle connections, or give the monitor a higher quota",
  },
  arena_full: {
    why: "no slot is free in any arena of these two programs",
    todo: "nothing for this connection; later ones are accelerated when slots are free again",
  },
  no_memory: {
    why: "shared memory could not be mapped or populated (ENOMEM, RLIMIT_AS, memory cgroup)",
    todo: "raise 'ulimit -v' or the memory limit of the cgroup; 'socksdirect doctor' shows both",
  },
  end_table_full: {
    why: "this process tracks as many connections as it can",
    todo: "nothing for this connection; later ones are tracked when others have closed",
  },
  no_fds: {
    why: "no file descriptor was left for the library's own use (EMFILE)",
    todo: "raise 'ulimit -n' before the program starts",
  },
  version_mismatch: {
    why: "the two sides, or one and the monitor, run different versions of the library",
    todo: "restart the monitor and both programs from one checkout",
  },
  offer_unverified: {
    why:
      "the kernel did not confirm the offer: it knows no such socket of that owner (NAT does this)",
    todo: "connect to the server's real address, without address translation between",
  },
  exec: { why: "moved back to kernel TCP because another program took the connection over (exec)" },
  fd_passed: {
    why: "moved back to kernel TCP because the descriptor was passed to another process",
  },
  stdio: {
    why: "moved back to kernel TCP because libc itself reads or writes it (fdopen, dprintf)",
  },
  peer_closed: { why: "the peer closed, or closed its half: kernel TCP tells the rest" },
  peer_corrupt: {
    why: "the peer wrote impossible values into shared memory, so it is not trusted any more",
    todo: "look for memory corruption in the peer program; report it if there is none",
  },
  shared_by_fork: {
    why:
      "several processes hold this connection, and it was undecided, or only offered, when they forked",
  },
  urgent_data: { why: "urgent (out-of-band) data was used, which rings do not carry" },
  ring_full: {
    why: "the ring stayed full for long, so the kernel's larger buffers took over",
    todo: "nothing; it moves to the ring again when the reader catches up",
  },
  disabled: {
    why: "switched off, by SOCKSDIRECT_DISABLE or by 'socksdirect drain'",
    todo: "unset SOCKSDIRECT_DISABLE, or 'socksdirect drain off'",
  },
  socket_option: {
    why: "a socket option that rings do not carry (raw, repair, TLS offload, MPTCP, zero-copy)",
  },
  arena_pending: { why: "waiting for the monitor's answer", todo: "nothing; it takes a moment" },
  offered: {
    why: "offered to the server, which adopts it at its next data call",
    todo: "nothing; if it stays so, the server does not read or write this connection",
  },
  recall_timeout: {
    why: "this end had to leave the ring, and the peer did not answer in time",
    todo: "nothing for this connection; later ones are accelerated",
  },
  epoll_shared: {
    why: "another process uses the same epoll instance, where a ring can wake one process only",
    todo: "let each worker create its own epoll instance after fork",
  },
  listener_unregistered: {
    why: "the program that listens there did not register, or the monitor refused it",
    todo: "restart the server by 'socksdirect run', as the same user",
  },
  trying_tcp: {
    why: "exchanges take long by ring, so some go over kernel TCP to compare",
    todo: "nothing; it takes some exchanges (SOCKSDIRECT_GUARD=0 turns this off)",
  },
  slower_by_ring: {
    why: "exchanges were measured to take longer by ring than over kernel TCP",
    todo:
      "see whether the peer has free descriptors, and an epoll instance of its own in each process",
  },
};

export function explanationOf(reason: string): Explanation {
  return explanations[reason] ?? {
    why: `this version of socksdirect does not know the reason '${reason}'`,
    todo: "update it to the monitor's version ('socksdirect version', 'socksdirect status')",
  };
}
