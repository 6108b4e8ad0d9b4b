// Why AES-CBC under the pre-shared key, straight over TCP, is not enough: the scheme that the question of 2012 had in
// mind, written as well as it can be (random IV, right padding, a key of its own for each device), and broken by
// somebody who has no key: a command altered on the way, a message replayed, a plaintext guessed right by asking.
// Then the same things tried on the real thing. The README tells this story; these tests are its proof.
import assert from "node:assert/strict";
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { type AddressInfo, connect as connectTcp, createServer, type Server, type Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import { connect as connectTls, createServer as createTlsServer, type Server as TlsServer } from "node:tls";

const KEY = randomBytes(16);

/** The scheme: IV || AES-128-CBC(key, command), PKCS 7 padding. Nothing else: no MAC, no sequence, no session. */
function seal(command: string): Buffer {
  const iv = randomBytes(16);
  const cipher = createCipheriv("aes-128-cbc", KEY, iv);
  return Buffer.concat([iv, cipher.update(command, "utf8"), cipher.final()]);
}

/** The device's end. Throws on bad padding, as any library does. */
function open(message: Buffer): string {
  const decipher = createDecipheriv("aes-128-cbc", KEY, message.subarray(0, 16));
  return Buffer.concat([decipher.update(message.subarray(16)), decipher.final()]).toString("utf8");
}

/** XOR two buffers of one length. */
function xor(a: Buffer, b: Buffer): Buffer {
  return Buffer.from(a.map((byte, i) => byte ^ b[i]));
}

describe("plain AES-CBC over TCP", () => {
  test("a command is altered on the way: bits flipped in the IV flip in the first block", () => {
    const message = seal("valve=close;n=01");
    assert.equal(open(message), "valve=close;n=01");
    // The attacker knows what the message says, not the key, and wants it to say something else.
    const change = xor(Buffer.from("valve=close;n=01"), Buffer.from("valve=open ;n=01"));
    const altered = Buffer.concat([xor(message.subarray(0, 16), change), message.subarray(16)]);
    assert.equal(open(altered), "valve=open ;n=01");
  });

  test("a block further on is altered at the price of the one before it, which no one checks", () => {
    const message = seal("comment=0123456 valve=close;n=01");
    const change = xor(Buffer.from("valve=close;n=01"), Buffer.from("valve=open ;n=01"));
    const altered = Buffer.concat([
      message.subarray(0, 16),
      xor(message.subarray(16, 32), change),
      message.subarray(32),
    ]);
    assert.ok(open(altered).endsWith("valve=open ;n=01"));
  });

  test("a message is replayed: the key never changes, so the device cannot tell last year's command from today's", () => {
    const recorded = seal("valve=open");
    for (let reboot = 0; reboot < 3; reboot++) assert.equal(open(recorded), "valve=open");
  });

  test("a device's own message is sent back to it: both directions share the key", () => {
    const report = seal("valve=open"); // what the device reported to the server
    assert.equal(open(report), "valve=open"); // taken for a command
  });

  test("a message is read without the key: the device's answer to bad padding gives it away, byte by byte", () => {
    const secret = "PIN=4711 for all";
    const message = seal(secret);
    const padded = (candidate: Buffer): boolean => {
      try {
        open(candidate);
        return true;
      } catch {
        return false; // an error message, a closed connection, a longer delay: any difference will do
      }
    };
    const [iv, block] = [message.subarray(0, 16), message.subarray(16, 32)];
    const afterDecryption = Buffer.alloc(16); // of the block cipher, before the XOR with the IV
    let questions = 0;
    for (let pad = 1; pad <= 16; pad++) {
      const place = 16 - pad;
      const forged = Buffer.from(afterDecryption.map((byte, i) => (i > place ? byte ^ pad : 0)));
      for (let guess = 0; guess < 256; guess++) {
        forged[place] = guess;
        questions++;
        if (!padded(Buffer.concat([forged, block]))) continue;
        // A pad of 1 may be a longer one by chance: change the byte before it and ask once more.
        if (
          pad === 1 &&
          !padded(Buffer.concat([Buffer.from(forged.map((byte, i) => (i === 14 ? byte ^ 1 : byte))), block]))
        )
          continue;
        afterDecryption[place] = guess ^ pad;
        break;
      }
    }
    assert.equal(xor(afterDecryption, iv).toString(), secret);
    assert.ok(questions <= 16 * 256);
  });
});

describe("the same attacks on TLS with the same pre-shared key", () => {
  const SUITES = ["PSK-AES128-CBC-SHA", "PSK-AES128-CBC-SHA256", "PSK-AES128-CCM8"];
  let device: TlsServer; // which end is which makes no difference to a middle man
  let middle: Server;
  let received: string[] = [];
  let failures: string[] = [];
  let tamper: (record: Buffer, dataRecords: number) => Buffer[] = (record) => [record];

  before(async () => {
    device = createTlsServer(
      { pskCallback: () => KEY, ciphers: "PSK:@SECLEVEL=0", maxVersion: "TLSv1.2" },
      (socket) => {
        socket.on("data", (chunk) => received.push(chunk.toString()));
        socket.on("error", (error: NodeJS.ErrnoException) => failures.push(error.code ?? error.message));
      },
    );
    await listen(device);
    middle = createServer((client) => relay(client, connectTcp(portOf(device), "127.0.0.1")));
    await listen(middle);
  });
  after(() => {
    device.close();
    middle.close();
  });

  /** Pass records on, those of application data from the client through `tamper`. */
  function relay(client: Socket, server: Socket): void {
    let pending = Buffer.alloc(0);
    let dataRecords = 0;
    client.on("data", (chunk) => {
      pending = Buffer.concat([pending, chunk]);
      while (pending.length >= 5 && pending.length >= 5 + pending.readUInt16BE(3)) {
        const record = pending.subarray(0, 5 + pending.readUInt16BE(3));
        pending = pending.subarray(record.length);
        for (const out of record[0] === 23 ? tamper(Buffer.from(record), ++dataRecords) : [record])
          server.write(out);
      }
    });
    server.on("data", (chunk) => client.write(chunk));
    for (const [one, other] of [
      [client, server],
      [server, client],
    ]) {
      one.on("error", () => {});
      one.on("close", () => other.destroy());
    }
  }

  /** Send commands through the middle man; resolves when the connection has ended. */
  async function send(suite: string, ...commands: string[]): Promise<void> {
    [received, failures] = [[], []];
    await new Promise<void>((resolve) => {
      const socket = connectTls({
        host: "127.0.0.1",
        port: portOf(middle),
        maxVersion: "TLSv1.2",
        ciphers: `${suite}:@SECLEVEL=0`,
        pskCallback: () => ({ identity: "v1.demo.SN1", psk: KEY }),
        checkServerIdentity: () => undefined,
      });
      socket.on("secureConnect", () => {
        for (const command of commands) socket.write(command);
        setTimeout(() => socket.end(), 50);
      });
      socket.on("error", () => {});
      socket.on("close", () => resolve());
    });
  }

  for (const suite of SUITES) {
    test(`${suite}: an honest middle man changes nothing`, async () => {
      tamper = (record) => [record];
      await send(suite, "valve=close");
      assert.deepEqual([received.join(""), failures], ["valve=close", []]);
    });

    test(`${suite}: a flipped bit ends the connection, nothing is delivered`, async () => {
      for (const place of [5, 13, 21, -1]) {
        tamper = (record) => {
          record[place < 0 ? record.length + place : place] ^= 1;
          return [record];
        };
        await send(suite, "valve=close");
        assert.deepEqual(received, [], `byte ${place}`);
        assert.equal(failures.length, 1);
      }
    });

    test(`${suite}: a record sent twice is delivered once, and ends the connection`, async () => {
      tamper = (record) => [record, record];
      await send(suite, "valve=open");
      assert.equal(received.join(""), "valve=open");
      assert.equal(failures.length, 1);
    });

    test(`${suite}: a record of yesterday's session means nothing today`, async () => {
      let yesterday: Buffer | undefined;
      tamper = (record) => [(yesterday = record)];
      await send(suite, "valve=open");
      assert.equal(received.join(""), "valve=open");
      tamper = () => [yesterday as Buffer];
      await send(suite, "valve=open");
      assert.deepEqual(received, []);
      assert.equal(failures.length, 1);
    });
  }

  function portOf(server: Server): number {
    return (server.address() as AddressInfo).port;
  }

  function listen(server: Server): Promise<void> {
    return new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  }
});
