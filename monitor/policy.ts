/**
 * Who may have an arena to whom, and how much of everything one user may have.
 *
 * The rule now: the same user on both sides, or root on one. A policy file (users, programs,
 * ports, addresses) would be another maker of `Policy`.
 */

import { Reason } from "../ffi/layout.gen.ts";

export interface PairRequest {
  clientUid: number;
  clientNetns: bigint;
  listenerUid: number;
  listenerNetns: bigint;
}

export interface Policy {
  /** `Reason.none`, or the reason why not. */
  pair(request: PairRequest): number;
}

/** Limits for each uid, so that one user's programs can not use up everybody's. */
export interface Quotas {
  processes: number;
  /** Control connections that have not said HELLO. */
  strangers: number;
  listeners: number;
  arenas: number;
  /** Sum of arena sizes. Address space: memory is used by what connections touch. */
  arenaBytes: number;
  /** Arenas of one client process to one listener group. */
  arenasPerPair: number;
}

const gibibyte = 2 ** 30;

export const defaultQuotas: Quotas = {
  processes: 2048,
  strangers: 1024,
  listeners: 1024,
  arenas: 4096,
  arenaBytes: 256 * gibibyte,
  arenasPerPair: 16,
};

export const sameUserPolicy: Policy = {
  pair(request) {
    const { clientUid, listenerUid, clientNetns, listenerNetns } = request;
    if (clientNetns !== 0n && clientNetns !== listenerNetns) return Reason.netns_differs;
    const allowed = clientUid === listenerUid || clientUid === 0 || listenerUid === 0;
    return allowed ? Reason.none : Reason.policy;
  },
};
