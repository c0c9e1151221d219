/**
 * Which of CPython's own test modules are run, and what of them is left out.
 *
 * The interpreter's tests are in Debian's libpython3.N-testsuite. Most of their connections have
 * both ends in one process and end after a few calls, so the preloaded run has SOCKSDIRECT_EAGER.
 */

export interface Module {
  name: string;
  /** Part of every `./socksdirect test`; the others are in the full run. */
  daily?: boolean;
  /** Patterns of the tests to run; without, all. */
  only?: readonly string[];
  /** Connection ends that must have been on a ring, at least, in the preloaded run. */
  ends: number;
}

export const modules: readonly Module[] = [
  { name: "test_socket", daily: true, ends: 20 },
  { name: "test_selectors", daily: true, ends: 0 },
  // Demands answers within 10 ms, which a busy machine does not give on kernel TCP either.
  { name: "test_epoll", ends: 1 },
  { name: "test_poll", daily: true, ends: 0 },
  { name: "test_select", daily: true, ends: 0 },
  { name: "test_socketserver", daily: true, ends: 5 },
  { name: "test_httplib", daily: true, ends: 1 },
  { name: "test_httpservers", daily: true, ends: 2 },
  { name: "test_urllib2_localnet", daily: true, ends: 1 },
  { name: "test_xmlrpc", ends: 2 },
  { name: "test_ftplib", daily: true, ends: 20 },
  { name: "test_poplib", daily: true, ends: 20 },
  { name: "test_smtplib", daily: true, ends: 20 },
  { name: "test_imaplib", ends: 5 },
  {
    name: "test_asyncio",
    daily: true,
    only: [
      "*test_events*",
      "*test_sendfile*",
      "*test_server*",
      "*test_sock_lowlevel*",
      "*test_ssl*",
    ],
    ends: 20,
  },
  { name: "test_asyncio", ends: 20 },
  { name: "test_ssl", ends: 50 },
  { name: "test_asyncore", ends: 2 },
  { name: "test_asynchat", ends: 2 },
  { name: "test_telnetlib", ends: 0 },
  { name: "test_nntplib", ends: 0 },
  { name: "test_logging", ends: 1 },
  { name: "test_wsgiref", ends: 0 },
  { name: "test_urllib2", ends: 0 },
  { name: "test_signal", ends: 0 },
  { name: "test_os", ends: 0 },
  { name: "test_io", ends: 0 },
  { name: "test_fcntl", ends: 0 },
  { name: "test_pty", ends: 0 },
  { name: "test_fork1", ends: 0 },
  { name: "test_threading", ends: 0 },
  { name: "test_popen", ends: 0 },
  { name: "test_subprocess", ends: 0 },
  { name: "test_concurrent_futures", ends: 0 },
  { name: "test_multiprocessing_fork", ends: 2 },
  { name: "test_multiprocessing_spawn", ends: 2 },
  { name: "test_multiprocessing_forkserver", ends: 2 },
];

/** Patterns of tests that neither run has. */
export const leftOut: readonly { pattern: string; why: string }[] = [
  { pattern: "*VSOCK*", why: "no TCP; hangs in virtual machines whose host does not answer" },
  { pattern: "*NetworkedTests*", why: "leaves this host" },
  { pattern: "*NetworkedBIOTests*", why: "leaves this host" },
];
