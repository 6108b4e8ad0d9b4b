// Tokens for tests: SoftHSM2 of Debian with its tokens in a folder of the test's own, made through PKCS#11 itself.
// Leaves out: any other module, whose tokens no test could make.
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { skipWithout } from "./peers/install";

export const SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so";

/** Give the reason to skip tests with a token, or false. Under CI=true nothing is skipped, so that they fail. */
export function skipWithoutToken(): string | false {
  if (process.env.CI === "true") return false;
  try {
    createRequire(import.meta.url)("pkcs11js");
  } catch {
    return "pkcs11js could not be compiled: no make, g++ or python3 at npm ci";
  }
  return skipWithout("softhsm2-util") || (!existsSync(SOFTHSM) && `no ${SOFTHSM}`);
}

/** Make empty tokens with a user PIN each; this process and its children see no others from now on. */
export async function makeTokens(folder: string, pins: Record<string, string>): Promise<void> {
  mkdirSync(join(folder, "tokens"));
  process.env.SOFTHSM2_CONF = join(folder, "softhsm2.conf");
  writeFileSync(
    process.env.SOFTHSM2_CONF,
    `directories.tokendir = ${join(folder, "tokens")}\nobjectstore.backend = file\nlog.level = ERROR\n`,
  );
  const module = new (createRequire(import.meta.url)("pkcs11js").PKCS11)();
  module.load(SOFTHSM);
  module.C_Initialize();
  for (const [label, pin] of Object.entries(pins)) {
    const officer = "officer's PIN";
    const free = module.C_GetSlotList(true).at(-1); // SoftHSM always shows one more, which is empty
    module.C_InitToken(free, officer, label.padEnd(32));
    const CKF_SERIAL_RW = 4 | 2;
    const session = module.C_OpenSession(free, CKF_SERIAL_RW);
    module.C_Login(session, 0, officer); // CKU_SO
    module.C_InitPIN(session, pin);
    module.C_Logout(session);
    module.C_CloseSession(session);
  }
  module.C_Finalize();
  module.close();
}

/** The URI of a key in such a token. */
export function tokenUri(token: string, object: string): string {
  return `pkcs11:token=${encodeURIComponent(token)};object=${object}?module-path=${SOFTHSM}`;
}
