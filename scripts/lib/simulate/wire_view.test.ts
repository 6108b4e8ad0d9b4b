// The display of TLS messages: a session recorded against OpenSSL's s_server, in pieces of any size; what is no TLS.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Direction, hexLines, type WireMessage, WireView } from "./wire_view";

// TLS 1.2, CCM_8, identity dev0, server hint srvhint.
const SESSION: [Direction, string][] = [
  [
    "out",
    "160301002d010000290303223e21490c4d1d1ebb81030fd24bfe789a0ce4c5e764f665e96b1435d1da7bc5000002c0a80100",
  ],
  [
    "in",
    "160303004a020000460303d1df928dfea7dbf482af02bb76afeb7279f126c0ea4874f8444f574e4752440120aba65411bba5748c4db044a1a1525b08aca0d6d69ddfa7b9da72dc1f7b762722c0a800160303000d0c000009000773727668696e7416030300040e000000",
  ],
  [
    "out",
    "160303000a1000000600046465763014030300010116030300200000000000000000021e8e2f1f284ca3f60bcda28e236c1d3946381d25c70b34",
  ],
  ["in", "14030300010116030300200000000000000000bbce5b6ee53245a234726bef81ab229098690130f48b91f2"],
  ["out", "170303001c000000000000000164e0f04810bae986d6e588245b72643b437714dd"],
  ["out", "150303001200000000000000023155562d22d9cde9fd40"],
];

function view(session: [Direction, Buffer][]): { messages: WireMessage[]; wire: WireView } {
  const messages: WireMessage[] = [];
  const wire = new WireView((message) => messages.push(message));
  for (const [direction, bytes] of session) wire.feed(direction, bytes);
  return { messages, wire };
}

const recorded = SESSION.map(([direction, bytes]): [Direction, Buffer] => [
  direction,
  Buffer.from(bytes, "hex"),
]);

test("a recorded session is named message by message", () => {
  const { messages, wire } = view(recorded);
  assert.deepEqual(
    messages.map(({ direction, name, encrypted }) => `${direction} ${name}${encrypted ? "*" : ""}`),
    ["out ClientHello", "in ServerHello", "in ServerKeyExchange", "in ServerHelloDone"].concat(
      [
        "out ClientKeyExchange",
        "out ChangeCipherSpec",
        "out Finished*",
        "in ChangeCipherSpec",
        "in Finished*",
      ],
      ["out ApplicationData*", "out Alert*"],
    ),
  );
  assert.equal(wire.agreement.suite, "TLS_PSK_WITH_AES_128_CCM_8");
  assert.match(messages[2].details[0], /"srvhint"/);
  assert.match(messages[4].details[0], /"dev0"/);
  assert.deepEqual(wire.handshakeBytes, {
    out: recorded[0][1].length + recorded[2][1].length,
    in: recorded[1][1].length + recorded[3][1].length,
  });
});

test("pieces of any size give the same messages", () => {
  const whole = view(recorded).messages;
  for (const size of [1, 2, 3, 7, 50]) {
    const pieces = recorded.flatMap(([direction, bytes]) =>
      Array.from({ length: Math.ceil(bytes.length / size) }, (_, i): [Direction, Buffer] => [
        direction,
        bytes.subarray(i * size, (i + 1) * size),
      ]),
    );
    assert.deepEqual(view(pieces).messages, whole, `pieces of ${size}`);
  }
});

test("a ClientHello begins a new connection, even where the last one broke off inside a record", () => {
  const { messages } = view([
    ...recorded.slice(0, 5),
    ["in", Buffer.from("1703030040aabb", "hex")],
    ...recorded,
  ]);
  assert.deepEqual(messages.slice(-11), view(recorded).messages);
});

test("extensions are shown with their values", () => {
  const extensions = "000100010200170000001600 00001c00020200".replace(" ", "");
  const hello = `0303${"ab".repeat(32)}000004c0a800ff01000013${extensions}`;
  const message = `01${(hello.length / 2).toString(16).padStart(6, "0")}${hello}`;
  const record = `160301${(message.length / 2).toString(16).padStart(4, "0")}${message}`;
  const { details } = view([["out", Buffer.from(record, "hex")]]).messages[0];
  assert.deepEqual(details.slice(1), [
    "suite TLS_PSK_WITH_AES_128_CCM_8",
    "suite TLS_EMPTY_RENEGOTIATION_INFO_SCSV",
    "extensions max_fragment_length 1024 bytes, extended_master_secret, encrypt_then_mac, record_size_limit 512 bytes",
  ]);
});

test("an alert in clear is named, what is no TLS is shown once, malformed messages do no harm", () => {
  assert.deepEqual(view([["in", Buffer.from("15030300020228", "hex")]]).messages[0].details, [
    "fatal 40 handshake_failure",
  ]);
  const { messages } = view([
    ["in", Buffer.from("HTTP/1.1 400 Bad Request\r\n")],
    ["in", Buffer.from("Content-Length: 0\r\n")],
  ]);
  assert.deepEqual(
    messages.map(({ name }) => name),
    ["not TLS"],
  );
  for (const type of [1, 2, 12, 16]) {
    for (let length = 0; length < 50; length++) {
      const header = Buffer.from([0x16, 3, 3, 0, length + 4, type, 0, 0, length]);
      assert.equal(view([["in", Buffer.concat([header, Buffer.alloc(length, 0xff)])]]).messages.length, 1);
    }
  }
});

test("bytes are laid out in hex, and no more than the limit", () => {
  assert.deepEqual(hexLines(Buffer.alloc(40), 32, 36), [
    `${"00000000 ".repeat(8).trim()}`,
    "00000000",
    "and 4 bytes more",
  ]);
});
