/** The matrix: every application, the most used and the hardest first. */

import { apacheEvent, apachePrefork } from "./apache.ts";
import type { Application } from "./application.ts";
import { memcached } from "./memcached.ts";
import { nginx, nginxProxy } from "./nginx.ts";
import { redis, valkey } from "./redis.ts";

export const applications: readonly Application[] = [
  redis,
  { ...valkey, rare: true },
  nginx,
  nginxProxy,
  apacheEvent,
  apachePrefork,
  memcached,
];
