// Payloads around the fragment limit, sent to a server that gives back what it gets.
import assert from "node:assert/strict";
import type { DeviceSocket } from "./device";
import type { Peer } from "./peers/process";

/** Bytes of application data: nothing, one, one record but for a byte, one, one and a byte, many. */
export const PAYLOADS = [0, 1, 510, 511, 512, 513, 20_000];

/** Text of `length` bytes that ends with a line feed, for servers that echo lines. */
export function payload(length: number): Buffer {
  const bytes = Buffer.alloc(length, "the quick brown fox jumps over the lazy dog, ");
  if (length) bytes[length - 1] = 10;
  return bytes;
}

/** Send each of them, and hold what comes back to it. */
export async function assertEchoes(socket: DeviceSocket, peer: Peer): Promise<void> {
  for (const length of PAYLOADS) {
    const sent = payload(length);
    socket.received = Buffer.alloc(0);
    socket.write(sent);
    await socket.until(() => socket.received.length >= length || socket.closed, 10_000);
    assert.ok(
      sent.equals(socket.received),
      `${length} bytes: ${socket.received.length} back, error ${socket.error}\n${peer.output()}`,
    );
  }
}
