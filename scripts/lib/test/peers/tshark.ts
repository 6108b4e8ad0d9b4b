/*
 * tshark as a reader of captures that nobody here wrote: packets of ESP with their manual keys, field by field. It has no AES-CCM of RFC 4309: there its
 * AES-CTR (RFC 3686) is told that mode's counter blocks, flags and salt for a nonce, and the ICV it leaves alone. It knows ESP in IPv4, not in TCP.
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Association } from "../../keys/esp_keys";
import { WorkFolder } from "./process";

/** A packet of a capture: from, to, and the ESP packet. */
export interface Captured {
  from: string;
  to: string;
  packet: Buffer;
}

/** The flags of CCM's counter blocks with a length of 4 bytes (RFC 4309, 4). */
const COUNTER_FLAGS = "03";

const addressBytes = (address: string) => Buffer.from(address.split(".").map(Number));

/** A capture file (pcap, link type 101: raw IP), each packet in an IPv4 packet of protocol 50. */
export function capture(packets: readonly Captured[]): Buffer {
  const head = Buffer.alloc(24);
  for (const [at, value] of [0xa1b2c3d4, 0x00020004, 0, 0, 65_535, 101].entries())
    head.writeUInt32BE(value, at * 4);
  const records = packets.flatMap(({ from, to, packet }, nth) => {
    const ip = Buffer.alloc(20);
    ip.writeUInt32BE(0x45000000 + 20 + packet.length, 0);
    ip.writeUInt16BE(0x4032, 8);
    addressBytes(from).copy(ip, 12);
    addressBytes(to).copy(ip, 16);
    const record = Buffer.alloc(16);
    for (const [at, value] of [nth, 0, 20 + packet.length, 20 + packet.length].entries())
      record.writeUInt32BE(value, at * 4);
    return [record, ip, packet];
  });
  return Buffer.concat([head, ...records]);
}

/** What tshark says of each packet: the fields that are asked for, by name; "" where it has none. */
export async function fieldsOf(
  pcap: Buffer,
  fields: readonly string[],
  associations: readonly Association[] = [],
): Promise<Record<string, string>[]> {
  const folder = new WorkFolder();
  try {
    const path = folder.file("capture.pcap", "");
    await (await import("node:fs/promises")).writeFile(path, pcap);
    const keys = associations.flatMap(({ transform, spi, key, beside }) => {
      const row =
        transform === "ccm"
          ? [
              "AES-CTR [RFC3686]",
              `0x${key.toString("hex")}${COUNTER_FLAGS}${beside.toString("hex")}`,
              "ANY 128 bit authentication [no checking]",
              "",
            ]
          : [
              "AES-CBC [RFC3602]",
              `0x${key.toString("hex")}`,
              "HMAC-SHA-1-96 [RFC2404]",
              `0x${beside.toString("hex")}`,
            ];
      const columns = ["IPv4", "*", "*", `0x${spi.toString(16)}`, ...row, "32-bit", "0x0"];
      return ["-o", `uat:esp_sa:${columns.map((text) => `"${text}"`).join(",")}`];
    });
    const { stdout } = await promisify(execFile)(
      "tshark",
      [
        ...["-r", path, "-T", "fields", "-E", "separator=\t", ...fields.flatMap((field) => ["-e", field])],
        ...["-o", "esp.enable_encryption_decode:TRUE", "-o", "esp.enable_authentication_check:TRUE", ...keys],
      ],
      { env: { ...process.env, HOME: folder.path } },
    );
    return stdout
      .split("\n")
      .slice(0, -1)
      .map((line) => {
        const values = line.split("\t");
        return Object.fromEntries(fields.map((field, i) => [field, values[i] ?? ""]));
      });
  } finally {
    folder.remove();
  }
}
