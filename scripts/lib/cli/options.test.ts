// Command lines from tables: what values may be, and that all that is wrong is a sentence.
import assert from "node:assert/strict";
import { test } from "node:test";
import { UsageError } from "./exit";
import { endpoint, flag, helpText, integer, oneOf, option, options, parseCommand, port } from "./options";

const COMMAND = {
  usage: "npm run thing --",
  about: "Do a thing.",
  options: {
    loud: flag("say more", "l"),
    server: option("HOST:PORT", "where", endpoint),
    count: option("N", "how often", integer(1, 9)),
    set: options("WORD", "several", oneOf(["a", "b"])),
  },
};

test("values come parsed, what is not given is absent", () => {
  const parsed = parseCommand(COMMAND, ["-l", "--server", "broker.example:8883", "--set", "a", "--set=b"]);
  assert.deepEqual(parsed?.options, {
    loud: true,
    server: { host: "broker.example", port: 8883 },
    set: ["a", "b"],
  });
});

test("a value that begins with a dash and stands apart is one sentence, with what to write", () => {
  const short = { ...COMMAND, options: { board: { ...option("NAME", "which"), short: "b" } } };
  for (const [parse, written] of [
    [() => parseCommand(COMMAND, ["--count", "-1"]), "--count"],
    [() => parseCommand(short, ["-b", "-x"]), "--board"],
  ] as const)
    assert.throws(parse, {
      name: "UsageError",
      message: `a value that begins with a dash is given as ${written}=-... See --help.`,
    });
  assert.throws(
    () => parseCommand(COMMAND, ["--count=-1"]),
    /--count: "-1" is not a whole number from 1 to 9/,
  );
});

test("hosts: names and IPv4 addresses, nothing else", () => {
  for (const good of ["localhost:1", "127.0.0.1:65535", "a-b.example:80", "x.1:80"]) {
    assert.equal(`${endpoint(good).host}:${endpoint(good).port}`, good);
  }
  const bad = [
    "",
    ":",
    ":1",
    "host",
    "host:",
    "host:0",
    "host:65536",
    "host:1e3",
    "host:0x50",
    "host: 80",
    "host:-1",
  ];
  const badHosts = [
    "1.2.3:80",
    "1.2.3.256:80",
    "1.2.3.4.5:80",
    "a..b:80",
    "-a:80",
    "a-:80",
    "a b:80",
    "ä.example:80",
  ];
  for (const text of [...bad, ...badHosts, `${"a".repeat(64)}:80`, "[::1]:80", "::1:80", "user@host:80"]) {
    assert.throws(() => endpoint(text), UsageError, text);
  }
});

test("numbers and words", () => {
  assert.equal(port("443"), 443);
  assert.equal(integer(0, 10)("007"), 7);
  for (const text of ["", " 1", "1.5", "-1", "11", "1e1", "NaN", "9999999999999999"]) {
    assert.throws(() => integer(0, 10)(text), UsageError, text);
  }
  assert.throws(() => oneOf(["red"])("blue"), /"blue" is none of red/);
});

test("what is wrong is named with its option", () => {
  assert.throws(
    () => parseCommand(COMMAND, ["--count", "10"]),
    /^UsageError: --count: "10" is not a whole number/,
  );
  for (const argv of [["--count"], ["--loud=yes"], ["--nothing"], ["-x"], ["word"]]) {
    assert.throws(() => parseCommand(COMMAND, argv), UsageError, argv.join(" "));
  }
  assert.throws(() => parseCommand({ ...COMMAND, positionals: ["FILE"] }, []), /FILE is missing/);
});

test("the help has a line for every row of the table", () => {
  const help = helpText(COMMAND);
  for (const line of ["-l, --loud", "--server HOST:PORT", "--count N", "--set WORD", "-h, --help"]) {
    assert.ok(help.includes(`  ${line} `), line);
  }
});
