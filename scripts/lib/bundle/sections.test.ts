// Sections: what moves, what stays, and that the bundle computes the same with them as without. Programs run here
// in Node with a Storage that reads the bundle itself; sections.engine.test.ts runs them on the interpreter.
import assert from "node:assert/strict";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import { detokenise } from "../../../hal/tokens";
import { inlineConstants } from "./constants";
import { shortenDeclarations } from "./declarations";
import { findRefused, guardBundle } from "./guard";
import { fold, minify } from "./minify";
import { cutSections, markSections, placeSections, type Section } from "./sections";
import { type Tokenised, tokeniseBundle } from "./tokens";

interface Built {
  code: string;
  tokenised: Tokenised;
  main: string;
  sections: Section[];
  text(name: string): string;
}

/** A flat program with markers through the second half of the build. */
async function build(program: string, minified = true): Promise<Built> {
  let folded = program;
  for (let round = 0; round < 3; round++) folded = (await fold(inlineConstants(folded).code)).code;
  const cut = cutSections(folded).code;
  const finished = minified ? (await minify(shortenDeclarations(cut).code)).code : cut;
  const { code, sections, calls } = placeSections(finished, ".bootcde");
  assert.deepEqual(guardBundle(code, sections), [], code);
  const main = sections.length > 0 ? code.slice(0, sections[0].offset) : code;
  const text = (name: string): string => {
    const section = sections.find((each) => each.name === name);
    assert.ok(section, `no section ${name} in ${code}`);
    return code.substr(section.offset, section.length);
  };
  return { code, tokenised: tokeniseBundle(code, sections, calls), main, sections, text };
}

/** Run a bundle as a device would; what it printed. */
function run(code: string): string[] {
  const lines: string[] = [];
  runInNewContext(detokenise(code), {
    print: (...values: unknown[]) => lines.push(values.join(" ")),
    require: () => ({ read: (_: string, offset: number) => detokenise(code.slice(offset)) }),
  });
  return lines;
}

/** Build a program in each way and hold what it prints to what it prints unbuilt. */
async function assertRuns(program: string): Promise<Built> {
  const expected = run(`function __section__(root) { return root; }\n${program}`);
  assert.ok(expected.length > 0);
  assert.deepEqual(run((await build(program, false)).code), expected, "readable");
  const built = await build(program);
  assert.deepEqual(run(built.code), expected, built.code);
  assert.deepEqual(run(built.tokenised.code), expected, built.code);
  return built;
}

test("section(import()) becomes a static import and a marker", () => {
  const marked = markSections('export const f = () => section(import("./tls/handshake"))(1, 2);');
  assert.match(marked?.code ?? "", /__section__\(handshake_section, "handshake", loadSection\)\(1, 2\)/);
  assert.match(marked?.code ?? "", /import { default as handshake_section } from "\.\/tls\/handshake";/);
  assert.match(marked?.code ?? "", /import { loadSection } from "\.\/load_section";/);
  const named = markSections('section(import("./record")).send(1); section(import("./record")).wipe();');
  assert.match(named?.code ?? "", /__section__\(send_section, "send", loadSection\)\(1\)/);
  assert.match(named?.code ?? "", /import { wipe as wipe_section } from "\.\/record";/);
  assert.equal(markSections("export const f = 1;"), undefined);
});

test("two modules' exports of one name are two sections", () => {
  const marked = markSections(
    'export const f = [section(import("./a")).open(), section(import("./b")).open()];',
  );
  const names = [...(marked?.code.matchAll(/import \{ open as (\w+) \} from "\.\/[ab]"/g) ?? [])];
  assert.equal(new Set(names.map(([, name]) => name)).size, 2);
});

test("import() anywhere else is refused", () => {
  assert.throws(() => markSections('import("./a").then(print);'), /section\(import/);
  assert.throws(() => markSections("section(import(name));"), /plain string/);
});

test("what only a section reaches moves into it, what the main part shares stays", async () => {
  const built = await assertRuns(
    `function shared(x) { let s = 0; for (let i = 0; i < x; i++) s += i * x; return s; }
    function helper(x) { let t = x; while (t < 1000) t *= 7; return t + shared(x); }
    const TEXT = "only the section says this, twice";
    function root(a, b) { return helper(a) + helper(b) + TEXT.length + TEXT.charCodeAt(a); }
    function caller(x) { return __section__(root, "root")(x, 4); }
    print(shared(9), caller(2), caller(3));`,
  );
  assert.equal(built.sections.length, 1);
  assert.match(built.text("root"), /only the section says this/);
  assert.doesNotMatch(built.main, /1e3|1000|only the section/);
  assert.match(built.main, /for\(/);
});

test("what two sections share stays in the main part, with all that it needs", async () => {
  const built = await assertRuns(
    `function deep(x) { let t = x; while (t < 5000) t *= 11; return t; }
    function both(x) { let t = deep(x); while (t > 77) t -= 13; return t; }
    function one(x) { return both(x) + both(x + 1); }
    function two(x) { return both(x) * both(x + 2); }
    print(__section__(one, "one")(2), __section__(two, "two")(3));`,
  );
  assert.match(built.main, /5e3/);
  assert.match(built.main, /77/);
});

test("a section inside a section is read from the file as well", async () => {
  const built = await assertRuns(
    `function inner(x) { let t = x; while (t < 5000) t *= 11; return t; }
    function outer(x) { let t = x; while (t < 300) t *= 3; return t + __section__(inner, "inner")(t); }
    function caller(x) { return __section__(outer, "outer")(x); }
    print(caller(2));`,
  );
  assert.equal(built.sections.length, 2);
  assert.doesNotMatch(built.text("outer"), /5e3/);
  assert.match(built.text("outer"), /Function\(/);
  assert.match(built.text("inner"), /5e3/);
});

test("state outlives the section, whoever writes it", async () => {
  const built = await assertRuns(
    `let calls = 0;
    const seen = [];
    const table = [3, 5, 8];
    function root(x) { calls++; seen.push(x); return table[calls]; }
    function caller(x) { return __section__(root, "root")(x) + calls * 100 + seen.length * 1000; }
    print(caller(7), caller(8));`,
  );
  assert.match(built.text("root"), /\[3,5,8\]/);
  assert.doesNotMatch(built.main, /3,5,8/);
});

test("a statement with effects in a section's module runs at boot, once", async () => {
  await assertRuns(
    `print("boot");
    function root(x) { return x + 1; }
    function caller(x) { return __section__(root, "root")(x); }
    print(caller(1), caller(2));`,
  );
});

test("a root that the main part uses too is no section", async () => {
  const built = await assertRuns(
    `function root(x) { let t = x; while (t < 5000) t *= 11; return t; }
    function caller(x) { return __section__(root, "root")(x); }
    print(root(1), caller(2), root(3));`,
  );
  assert.equal(built.sections.length, 0);
});

test("one section from two places is stored once", async () => {
  const built = await assertRuns(
    `function root(x) { let t = x; while (t < 5000) t *= 11; return t; }
    function a(x) { return __section__(root, "root")(x); }
    function b(x) { return __section__(root, "root")(x + 1); }
    print(a(1), b(1), a(2), b(2));`,
  );
  assert.equal(built.sections.length, 1);
});

test("a section may be a table or another value", async () => {
  const built = await assertRuns(
    `const rows = ["zero", "one", "two and no more"];
    function row(n) { return __section__(rows, "rows")[n]; }
    print(row(1), row(2));`,
  );
  assert.match(built.text("rows"), /^return \["zero/);
  assert.doesNotMatch(built.main, /no more/);
});

test("locals of the root do not hide the names of what comes into its body", async () => {
  await assertRuns(
    `function helper(n) { return other(n) + 1; }
    function other(n) { let t = n; while (t < 50) t *= 3; return t; }
    function root(other2, helper2) { const o = { other, n: other2 }; let n = helper(other2) + helper(helper2); return o.other(1) + n + o.n; }
    function clash(n) { const other = n * 2; return other + use(n); }
    function use(x) { return inner(x) + inner(x + 1); }
    function inner(x) { let t = x; while (t < 70) t *= 5; return t; }
    function root2(inner, use) { const late = clash(inner) + clash(use); const pair = { inner, use }; return late + pair.inner + pair.use; }
    print(__section__(root, "root")(4, 5), __section__(root2, "root2")(2, 3));`,
  );
});

test("a section sees the top level and its parameters, nothing of its caller", async () => {
  const built = await assertRuns(
    `let count = 0;
    function root(first, second) { count++; const local = first * 2; return local + second + count; }
    function caller(first, count2) { const local = first + 1; return __section__(root, "root")(local, count2) + local; }
    print(caller(1, 2), caller(3, 4), count);`,
  );
  assert.match(built.text("root"), /\$/);
  assert.doesNotMatch(built.text("root"), /Z/);
});

test("a section with a fourth parameter is refused, and so is a name of ours that is a parameter's", async () => {
  const calls = (root: string) =>
    `${root} function caller(x) { return __section__(root, "root")(x); } print(caller(1), caller(2));`;
  await assert.rejects(
    build(calls("function root(a, b, c, d) { return a + b + c + d; }")),
    /at most 3 parameters/,
  );
  await assert.rejects(build(calls("let Y = 1; function root(a) { Y++; return a + Y; }")), /Y is the name/);
});

test("with a loader a section is named by its place alone", async () => {
  const built = await assertRuns(
    `const construct = Function;
    function load(offset) {
      return construct("$", "Y", "Z", require("Storage").read("", offset));
    }
    function root(x) { let t = x; while (t < 5000) t *= 11; return t; }
    function short(x) { return x; }
    function caller(x) { return __section__(root, "root", load)(x) + __section__(short, "short", load)(x); }
    print(caller(2), caller(3));`,
  );
  assert.equal(built.sections.length, 2);
  assert.match(built.main, /\w\(\d+\)/);
});

test("of a table of sections only the one that is chosen is made", async () => {
  const built = await assertRuns(
    `const construct = Function;
    function load(offset) {
      return construct("$", "Y", "Z", require("Storage").read("", offset));
    }
    function one(x) { let t = x; while (t < 5000) t *= 11; return t; }
    function two(x) { let t = x; while (t < 6000) t *= 13; return t; }
    function three(x) { return __section__(one, "one", load)(x) + x; }
    function caller(row, x) {
      return [__section__(one, "one", load), __section__(two, "two", load), __section__(three, "three", load)][row + 1](x);
    }
    function plain(row, x) { let t = x; while (t < 7) t++; return [__section__(one, "one", load), __section__(two, "two", load)][row](t); }
    print(caller(-1, 3), caller(0, 3), caller(1, 3), plain(0, 1), plain(1, 1));`,
  );
  assert.equal(built.sections.length, 3);
  assert.match(built.main, /\w\(\[\d+,\d+,\d+\]\[\w\+1\]\)\(/);
});
test("numbers go to their places and dead code holds nothing in the main part", async () => {
  const built = await assertRuns(
    `const LIMIT = 512, WITH_CBC = false, MINUS = -3;
    function cbc(x) { let t = x; while (t < 7777) t *= 11; return t; }
    function root(x) { return cbc(x) + LIMIT; }
    function caller(x) { if (WITH_CBC) print(cbc(1)); return __section__(root, "root")(x) + LIMIT - MINUS + { LIMIT }.LIMIT; }
    print(caller(2), LIMIT, LIMIT, LIMIT);`,
  );
  assert.doesNotMatch(built.main, /7777/);
  assert.doesNotMatch(built.code, /const|LIMIT:?\w/);
});

test("a section may be long and hold the end of a comment", async () => {
  const built = await assertRuns(
    `function root(x) { return x + "*/${"x".repeat(1000)}"; }
    function caller(x) { return __section__(root, "root")(x); }
    print(caller(2), caller(3));`,
  );
  assert.ok(built.sections[0].length > 1000);
});

test("offsets are bytes of the file, whatever their width", async () => {
  for (const filler of [0, 40, 800, 900, 9000]) {
    const program = `function root(x) { let t = x; while (t < 5000) t *= 11; return t; }
      function second(x) { let t = x; while (t < 700) t *= 11; return t + __section__(root, "root")(x); }
      function caller(x) { return __section__(root, "root")(x) + __section__(second, "second")(x); }
      print(caller(2), "${"x".repeat(filler)}".length);`;
    const built = await build(program);
    const { tokenised } = built;
    for (const { code, sections } of [built, tokenised]) {
      assert.deepEqual(run(code), [`61226 ${filler}`]);
      for (const { offset, length } of sections) {
        assert.equal(code[offset - 1] + code[offset + length], "\0\0");
        assert.match(detokenise(code.substr(offset, length)), /^let .*return [^;]+$/);
      }
    }
    for (const [number, { offset }] of built.sections.entries())
      assert.equal(tokenised.byteAt(offset), tokenised.sections[number].offset);
  }
});

test("the minifier's output holds nothing that the guard refuses", async () => {
  const { code } = await minify(
    `function pick(x) { switch (x) { case 1: return 2; default: return 3; } }
    function loop(list) { let n = 0; for (const x of list) { do { n += x; } while (n < 3); } return n; }
    function has(o) { let k = "a" in o; for (let i = 0; i < 3; i++) k = k || i in o; return k; }
    print(pick(1), loop([1, 2]), has({}), "\\xff\\0\\x08", 1 / 0, -0.5, 100000);`,
  );
  assert.deepEqual(findRefused(code), []);
});
