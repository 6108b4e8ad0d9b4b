/*
 * Devices of the profile `epochs`, for tests: a gateway with a master, a recorder before it, and the files of a device whose root is of that
 * master. And the search of R38: what of a recorded session can be opened by what lies in a memory.
 */
import { randomBytes } from "node:crypto";
import { masterFromBytes } from "../custody/master";
import { type Gateway, startGateway } from "../gateway/gateway";
import { childOf, leafOf, TREE_LEVELS, treeRoot } from "../keys/epoch_tree";
import { parseIdentity, parsePresented } from "../keys/identity";
import { deriveDeviceKey } from "../keys/kdf";
import { Watch } from "./device";
import { type Keys, recordOf } from "./factory";
import { openSession, type Session, secretsOf, sessionOf, startRecorder } from "./recordings";

/** A gateway, and every session on its way there recorded. */
export class RecordedGateway extends Watch {
  /** Telemetry that has come: a session each. */
  statuses = 0;

  private constructor(
    readonly master: Buffer,
    private readonly gateway: Gateway,
    private readonly recorder: Awaited<ReturnType<typeof startRecorder>>,
  ) {
    super();
  }

  /** Start it with a psk master, for devices of a key version and of the one before. */
  static async start(master: Buffer = randomBytes(16), keyVersion = 1): Promise<RecordedGateway> {
    const gateway = await startGateway({ master: masterFromBytes(Buffer.from(master)), keyVersion });
    const recorded = new RecordedGateway(master, gateway, await startRecorder(gateway.port));
    gateway.broker.on("publish", ({ topic }) => {
      if (topic.endsWith("/up/status")) recorded.statuses++;
      recorded.wake();
    });
    return recorded;
  }

  /** Where devices connect. */
  get port(): number {
    return this.recorder.port;
  }

  /** The recorded sessions whose handshake came to its end. */
  get sessions(): Session[] {
    return this.recorder.recordings.map(sessionOf).filter((session) => session !== undefined);
  }

  /** Put a retained message there. */
  retain(topic: string, payload: Buffer): Promise<void> {
    const packet = { cmd: "publish", topic, payload, qos: 1, retain: true, dup: false } as const;
    return new Promise((done) => this.gateway.broker.publish(packet, () => done()));
  }

  /** End every session. */
  cut(): void {
    this.recorder.cut();
  }

  async stop(): Promise<void> {
    await this.recorder.stop();
    await this.gateway.close();
  }
}

/** Make the key record of a device under a master: `psk` is its tree's root under the profile `epochs`, else its key of label psk. */
export function keysUnder(master: Buffer, identity: string, profile: string): Keys {
  const psk =
    profile === "epochs" ? treeRoot(master, identity) : deriveDeviceKey(master, parseIdentity(identity));
  return recordOf([psk, ...[1, 2, 3].map(() => randomBytes(16))]);
}

/** The key of a session, as the gateway derives it. */
export function keyOf(master: Buffer, { identity }: Session): Buffer {
  const { text, epoch } = parsePresented(identity);
  return epoch === undefined
    ? deriveDeviceKey(master, parseIdentity(text))
    : leafOf(treeRoot(master, text), epoch);
}

/** Every value from which one comes to the key of a session: the key itself, and of an epoch the 24 nodes over it. */
export function waysTo(master: Buffer, session: Session): Buffer[] {
  const { text, epoch } = parsePresented(session.identity);
  if (epoch === undefined) return [keyOf(master, session)];
  const nodes = [treeRoot(master, text)];
  for (let level = TREE_LEVELS; level--; )
    nodes.push(childOf(nodes[nodes.length - 1], (epoch >>> level) & 1));
  return nodes;
}

/**
 * Search a memory: take every 16 bytes of it as a key and as a node of each level, and open the sessions with what that gives. A value that is
 * not one of the 25 of `waysTo` gives another leaf (AES is a permutation under each key, and two keys of 2^128 make one leaf by chance
 * alone), so only those are looked for and carried to their leaf. Returns the sessions that were opened, by their place, with what was read.
 */
export function searchMemory(
  memory: Buffer,
  sessions: readonly Session[],
  master: Buffer,
): Map<number, string> {
  const opened = new Map<number, string>();
  for (const [i, session] of sessions.entries())
    for (const [depth, way] of waysTo(master, session).entries()) {
      const at = memory.indexOf(way);
      if (at < 0) continue;
      let key: Buffer = memory.subarray(at, at + way.length);
      const { epoch } = parsePresented(session.identity);
      if (epoch !== undefined)
        for (let level = TREE_LEVELS - depth; level--; ) key = childOf(key, (epoch >>> level) & 1);
      const data = openSession(session, key);
      if (data !== undefined) opened.set(i, data);
    }
  return opened;
}

/** Bytes of a secret that follow each other and are its trace: where a memory lies in pieces of a few bytes, more are not together. */
const FRAGMENT = 6;

/**
 * Find traces of what opens a session, or makes what opens it: FRAGMENT bytes in a row of a node over its epoch, its key, master secret, write
 * keys, and of what HMAC makes of them. Fewer than that, of which a memory has many by chance, are none.
 */
export function tracesOf(memory: Buffer, session: Session, master: Buffer): string[] {
  const secrets = secretsOf(session, keyOf(master, session));
  for (const [depth, way] of waysTo(master, session).entries()) secrets.set(`node ${depth}`, way);
  const traces: string[] = [];
  for (const [name, secret] of secrets)
    for (let from = 0; from + FRAGMENT <= secret.length; from++) {
      const at = memory.indexOf(secret.subarray(from, from + FRAGMENT));
      if (at >= 0) traces.push(`${name}, byte ${from} on, at ${at}`);
    }
  return traces;
}
