/** The matrix: every application, the most used and the hardest first. */

import { apacheEvent, apachePrefork } from "./apache.ts";
import type { Application } from "./application.ts";
import { haproxy } from "./haproxy.ts";
import { goStatic, inetd, javaNio, mariadb, mosquitto } from "./heavy.ts";
import { memcached } from "./memcached.ts";
import { nginx, nginxProxy } from "./nginx.ts";
import { nodeHttp, nodeNet } from "./node.ts";
import { openssh } from "./openssh.ts";
import { postgresql } from "./postgresql.ts";
import { redis, valkey } from "./redis.ts";
import { pythonAiohttp, pythonAsyncio, pythonGrpc, pythonHttp, pythonUvloop } from "./python.ts";
import { denoServe, iperf3, netcat, rsync, socat, sockperf } from "./small.ts";

export const applications: readonly Application[] = [
  redis,
  { ...valkey, rare: true },
  nginx,
  nginxProxy,
  haproxy,
  apacheEvent,
  apachePrefork,
  postgresql,
  mariadb,
  memcached,
  openssh,
  nodeHttp,
  nodeNet,
  javaNio,
  goStatic,
  denoServe,
  pythonHttp,
  pythonAsyncio,
  pythonUvloop,
  pythonAiohttp,
  pythonGrpc,
  rsync,
  socat,
  netcat,
  inetd,
  mosquitto,
  iperf3,
  sockperf,
];
