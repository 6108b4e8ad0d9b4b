// The profiles at build time: whose file stands in whose place, what an unknown name says, that each fits the boards that it is for and
// that the main profile has nothing of the others.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { rollup } from "rollup";
import esbuild from "rollup-plugin-esbuild";
import { PROFILES } from "../../../firmware/profiles";
import { buildBundle } from "./build";
import { overlay, profileOf } from "./profiles";

test("a file of the folder above stands in the place of the one of the same name, for its neighbours too", async () => {
  const folder = mkdtempSync(join(tmpdir(), "overlay-"));
  const files: Record<string, string> = {
    "main.ts": 'import { session } from "./tls/session"; console.log(session());',
    "tls/session.ts":
      'import { record } from "./record"; import { alert } from "./alert"; export const session = () => record() + alert();',
    "tls/record.ts": 'export const record = () => "record of tls";',
    "tls/alert.ts": 'export const alert = () => "alert of tls";',
    "other/record.ts":
      'import { alert } from "../tls/alert"; export const record = () => "record of other" + alert();',
    "other/unused.ts": 'export const unused = "unused";',
  };
  try {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), text);
    }
    const build = async (over: Record<string, string>) => {
      const plugins = [overlay(folder, over), esbuild({ target: "es2015", tsconfig: false })];
      const bundle = await rollup({ input: join(folder, "main.ts"), plugins });
      return (await bundle.generate({ format: "es" })).output[0].code;
    };
    const plain = await build({});
    assert.ok(/record of tls/.test(plain) && !/of other/.test(plain), plain);
    const laid = await build({ tls: "other" });
    assert.ok(/record of other/.test(laid) && /alert of tls/.test(laid) && !/record of tls/.test(laid), laid);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("an unknown profile is a sentence with the known ones", () => {
  assert.throws(() => profileOf("gmc"), /^UsageError: no profile "gmc"; there are main, gcm/);
  assert.throws(() => profileOf("toString"), /no profile "toString"/);
});

for (const name of Object.keys(PROFILES))
  test(`the profile ${name} fits on esp32, and what it is made of is its own`, async () => {
    const { sizes } = await buildBundle({ board: "esp32", profile: name });
    assert.ok(sizes.left >= 0, `${-sizes.left} bytes too many`);
    const modules = sizes.modules.map(({ module }) => module);
    const folders = new Set(Object.values(PROFILES).flatMap(({ over = {} }) => Object.values(over)));
    for (const folder of folders)
      assert.equal(
        modules.some((module) => module.startsWith(`firmware/${folder}/`)),
        Object.values(PROFILES[name].over ?? {}).includes(folder),
        `firmware/${folder} in ${name}`,
      );
    assert.equal(modules.includes("firmware/crypto/ghash.ts"), /gcm$/.test(name));
    assert.equal(modules.includes("firmware/crypto/eax.ts"), name === "akep2");
    assert.equal(modules.includes("firmware/store/tree.ts"), name === "epochs");
  });
