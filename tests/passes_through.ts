/**
 * Every libc function whose name suggests that it makes, uses, hands on or ends a descriptor, and
 * that libsd.so does not intercept: each with the reason. tests/coverage_test.ts compares this list
 * and docs/API.md with the libc of the machine, so that a function that a new libc brings fails the
 * test until somebody has decided about it.
 */

export interface PassesThrough {
  because: string;
  names: readonly string[];
}

/** What makes a function a candidate. Broad on purpose: new names should be caught. */
export const candidatePatterns: readonly RegExp[] = [
  /send|recv|read|write|sockatmark/,
  /poll|select|aio_|lio_|signalfd|timerfd|eventfd|inotify_init|fanotify_init|userfault|io_uring/,
  /socket|accept|connect|listen|^_*bind$|shutdown|sockopt|peername|sockname|rcmd|rresvport/,
  /open|creat(64)?$|close|pipe|dup|fcntl|ioctl|splice|tee$|copy_file_range|sendfile|memfd|pidfd/,
  /mk(o?s)?temp|tmpfile|getpt$|login_tty|daemon|isfdtype|fstat|fdwalk|svcfd/,
  /exec|spawn|[fF]ork|clone|^(__libc_)?system$|dprintf|^syscall$|^_*quick_exit$|^_?[eE]xit$/,
  /sigaction|signal$|siginterrupt|^sig(set|vec)$/,
];

/** Candidates by their spelling only. */
export const families: readonly { because: string; pattern: RegExp }[] = [
  {
    because: "threads, mutexes and their attributes: no descriptor ('read' is in 'thread')",
    pattern: /^_*(pthread(?!_(cancel|setcanceltype)$)|thrd|cnd|rpc_thread|nptl|cxa_thread)_/,
  },
  {
    because: "build a description of what posix_spawn will do later: nothing happens yet",
    pattern: /^posix_spawn(attr_|_file_actions_(?!adddup2$))/,
  },
  {
    because: "stdio on a FILE: fdopen, the only way to make one of a socket, moves to TCP first",
    pattern:
      /^__fread(ahead|ptr|ptrinc)$|^_IO_(do_write|fclose|file_\w+|fopen|fread|fwrite|proc_\w+|wdo_write|str_init_\w+)$/,
  },
  {
    because:
      "strings, locales, character sets, shared objects, semaphores: no descriptor of the user",
    pattern: /^_*((str|wcs)n?dup|duplocale|iconv_\w+|gconv_\w+|dl(m?open|close)|sem_\w+|cat\w+)$/,
  },
  {
    because: "files of libc's own (name services, message catalogues), opened and closed inside",
    pattern: /^_*(nss_\w+|open_catalog)$/,
  },
];

export const passesThrough: readonly PassesThrough[] = [
  {
    because: "the kernel socket underneath is real: its answer is the right one",
    names: [
      "bind",
      "getpeername",
      "getsockname",
      "sockatmark",
      "isfdtype",
      "fstat",
      "fstat64",
      "__fstat64",
      "fstatat",
      "fstatat64",
      "fstatfs",
      "fstatfs64",
      "fstatvfs",
      "fstatvfs64",
    ],
  },
  {
    because: "fails on a socket (ESPIPE, EINVAL), whatever carries its bytes",
    names: [
      "pread",
      "pread64",
      "__pread64",
      "__pread64_nocancel",
      "__libc_pread",
      "__pread_chk",
      "__pread64_chk",
      "preadv",
      "preadv64",
      "pwrite",
      "pwrite64",
      "__pwrite64",
      "__libc_pwrite",
      "pwritev",
      "pwritev64",
      "copy_file_range",
      "readahead",
      "tee",
      "vmsplice",
    ],
  },
  {
    because: "is for descriptors of another kind, never for a TCP socket",
    names: [
      "readdir",
      "readdir64",
      "readdir_r",
      "readdir64_r",
      "readlink",
      "readlinkat",
      "__readlink_chk",
      "__readlinkat_chk",
      "opendir",
      "fdopendir",
      "closedir",
      "fts_open",
      "fts_read",
      "fts_close",
      "fts64_open",
      "fts64_read",
      "fts64_close",
      "eventfd_read",
      "eventfd_write",
      "timerfd_gettime",
      "timerfd_settime",
      "mq_close",
      "mq_send",
      "mq_timedsend",
      "pidfd_send_signal",
      "pidfd_getpid",
      "process_vm_readv",
      "process_vm_writev",
      "login_tty",
      "tcsendbreak",
      "vhangup",
    ],
  },
  {
    because: "stdio on a FILE that fdopen made of a socket: fdopen has moved it to TCP",
    names: [
      "fread",
      "fread_unlocked",
      "__fread_chk",
      "__fread_unlocked_chk",
      "fwrite",
      "fwrite_unlocked",
      "__freadahead",
      "__freadptr",
      "__freadptrinc",
      "__freadable",
      "__freading",
      "fclose",
      "fcloseall",
      "pclose",
      "fopencookie",
      "fmemopen",
      "open_memstream",
      "open_wmemstream",
    ],
  },
  {
    because:
      "makes a descriptor of another kind: a number that the library still tracks can only " +
      "come from here if it was closed where the library does not look (fclose follows fdopen)",
    names: [
      "fopen",
      "fopen64",
      "freopen",
      "freopen64",
      "tmpfile",
      "tmpfile64",
      "mkstemp",
      "mkstemp64",
      "mkstemps",
      "mkstemps64",
      "mkostemp",
      "mkostemp64",
      "mkostemps",
      "mkostemps64",
      "shm_open",
      "mq_open",
      "__mq_open_2",
      "posix_openpt",
      "getpt",
      "openpty",
      "fsopen",
      "open_tree",
      "open_tree_attr",
      "open_by_handle_at",
      "memfd_secret",
      "fanotify_init",
      "pidfd_open",
      "openat2",
    ],
  },
  {
    because: "libc's own socket, made, used and closed inside (resolver, syslog, remote shells)",
    names: [
      "__res_context_send",
      "__res_iclose",
      "__res_nclose",
      "__res_nsend",
      "__res_send",
      "res_nsend",
      "res_send",
      "openlog",
      "closelog",
      "rcmd",
      "rcmd_af",
      "rexec",
      "rexec_af",
      "rresvport",
      "rresvport_af",
      "ruserok",
      "ruserok_af",
      "iruserok",
      "iruserok_af",
    ],
  },
  {
    because: "old Sun RPC: no program can be linked with it since glibc 2.32",
    names: [
      "svc_exit",
      "svc_getreq_poll",
      "svc_sendreply",
      "svcfd_create",
      "xdr_accepted_reply",
    ],
  },
  {
    because: "private to glibc's own libraries (GLIBC_PRIVATE): programs cannot be linked with it",
    names: [
      "__read_nocancel",
      "__write_nocancel",
      "__recv",
      "__sendmmsg",
      "__socket",
      "__close_nocancel",
      "__libc_fcntl64",
      "__open_nocancel",
      "__open64_nocancel",
      "__libc_fork",
      "__libc_system",
      "__libc_sigaction",
    ],
  },
  {
    because: "runs the library's fork handlers (pthread_atfork), which do what is needed",
    names: ["forkpty", "daemon", "pthread_atfork"],
  },
  {
    because: "only the registration of handlers",
    names: ["__register_atfork", "__cxa_atexit", "__cxa_at_quick_exit", "on_exit"],
  },
  {
    because: "ends in the library's destructor, or in exit_group, after which the kernel tells",
    names: ["exit", "quick_exit"],
  },
  {
    because: "prints, names or raises a signal, and installs nothing",
    names: ["psignal", "strsignal", "gsignal"],
  },
  {
    because: "matches by its letters only",
    names: [
      "__cyg_profile_func_exit",
      "__libc_scratch_buffer_dupfree",
      "__mktemp",
      "mktemp",
      "re_exec",
      "regexec",
    ],
  },
  {
    because: "asynchronous I/O: only the requests themselves (above) touch a socket",
    names: [
      "aio_cancel",
      "aio_cancel64",
      "aio_error",
      "aio_error64",
      "aio_fsync",
      "aio_fsync64",
      "aio_init",
      "aio_return",
      "aio_return64",
      "aio_suspend",
      "aio_suspend64",
    ],
  },
  {
    because: "known gap: a process made without fork handlers must not use the library's " +
      "connections (docs/COMPATIBILITY.md)",
    names: ["vfork", "__vfork", "clone", "__clone", "__clone3"],
  },
  {
    because: "no program can be linked with it since glibc 2.21",
    names: ["sigvec"],
  },
  {
    because: "known gap: a socket fetched from another process is plain kernel TCP here",
    names: ["pidfd_getfd"],
  },
];
