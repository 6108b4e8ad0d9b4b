/*
 * What tickets cost, the second table of firmware/PROFILES.md: bytes on TCP, with MQTT and TLS around them, and AES blocks of the device that commands
 * and of the one that obeys, counted on simulated boards.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { PeerDevice, PeerNetwork } from "./network";

/** What is under way with a broker (firmware/mqtt/packets.ts): all but HEARD, that a message has come; and PINGS, from bit 21 on. */
const ASKED_OF_BROKER = 0x7f | (-1 << 21);

/** Wait until the broker has answered all that a device has asked. */
export async function answered({ device: { machine } }: PeerDevice): Promise<void> {
  while (Number(machine.value("asked")) & ASKED_OF_BROKER) await delay(1);
}

/** The table's rows: bytes out, bytes in and AES blocks of who commands, and of who obeys. No session may stand between them yet. */
export async function ticketCosts(
  network: PeerNetwork,
  [a, b]: readonly PeerDevice[],
  payload: string,
): Promise<[name: string, counts: number[]][]> {
  const ends = [a, b].map(({ device: { machine } }) => machine);
  const command = async () => {
    for (const machine of ends) machine.resetCounters();
    const answer = await network.ask(a, b, "nothing", payload);
    if (answer !== "nothing=") throw new Error(`it answers ${answer}`);
    return ends.flatMap(({ counters: { bytesOut, bytesIn, aesBlocks } }) => [bytesOut, bytesIn, aesBlocks]);
  };
  for (const each of [a, b]) await answered(each);
  const first = await command();
  const next = await command();
  return [
    ["the session between them", first.map((count, which) => count - next[which])],
    [`a command of ${payload.length} bytes and its empty answer`, next],
  ];
}
