/**
 * The functions of libsdffi.so, one table; the other side is zig/src/root_ffi.zig. Every one of
 * them returns zero or more, or a negative errno, and none of them blocks, except
 * `sd_poller_wait_async`, which waits on a thread of Deno's pool.
 */

export const symbols = {
  sd_layout_hash: { parameters: [], result: "u64" },

  sd_listen: { parameters: ["buffer", "usize", "u32", "u32"], result: "i32" },
  sd_connect: { parameters: ["buffer", "usize"], result: "i32" },
  sd_accept: { parameters: ["i32", "buffer"], result: "i32" },
  sd_send: { parameters: ["i32", "buffer", "usize", "buffer", "usize"], result: "i32" },
  sd_bind_datagrams: { parameters: ["buffer", "usize", "u32"], result: "i32" },
  sd_receive: { parameters: ["i32", "buffer", "usize", "buffer"], result: "i32" },
  sd_socket_pair: { parameters: ["buffer"], result: "i32" },
  sd_diag_open: { parameters: ["u64"], result: "i32" },
  sd_set_nice: { parameters: ["i32"], result: "i32" },
  sd_close: { parameters: ["i32"], result: "i32" },
  sd_listener_check: { parameters: ["i32", "buffer"], result: "i32" },

  sd_poller_create: { parameters: [], result: "i32" },
  sd_poller_add: { parameters: ["i32", "i32", "u32", "u32", "u32"], result: "i32" },
  sd_poller_modify: { parameters: ["i32", "i32", "u32", "u32", "u32"], result: "i32" },
  sd_poller_remove: { parameters: ["i32", "i32"], result: "i32" },
  sd_poller_wait: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
  sd_poller_wait_async: {
    name: "sd_poller_wait",
    parameters: ["i32", "buffer", "usize", "i32"],
    result: "i32",
    nonblocking: true,
  },
  sd_waker_create: { parameters: [], result: "i32" },
  sd_waker_signal: { parameters: ["i32"], result: "i32" },

  sd_memfd_create: { parameters: ["u64"], result: "i32" },
  sd_arena_create: { parameters: ["u32", "u64"], result: "i32" },
  sd_registry_open: { parameters: ["buffer", "u64", "u32"], result: "i32" },
  sd_registry_close: { parameters: ["buffer"], result: "i32" },
  sd_registry_bump: { parameters: ["buffer", "u32"], result: "i32" },
  sd_registry_set_flags: { parameters: ["buffer", "u32"], result: "i32" },
  sd_registry_insert: { parameters: ["buffer", "buffer"], result: "i32" },
  sd_registry_remove: { parameters: ["buffer", "u32", "u32"], result: "i32" },
  sd_end_table_check: { parameters: ["i32", "u64"], result: "i32" },
  sd_end_table_totals: { parameters: ["i32", "buffer"], result: "i32" },
  sd_end_table_read: { parameters: ["i32", "buffer", "usize"], result: "i32" },

  sd_raise_fd_limit: { parameters: [], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;
