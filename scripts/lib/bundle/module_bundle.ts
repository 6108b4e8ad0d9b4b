// The module `tls-psk` (firmware/module/tls_psk.ts) for those who have their own Espruino code: the TLS of the firmware and nothing
// around it, as one file that `require` takes from Storage.
import { UsageError } from "../cli/exit";
import { buildBundle, TLS_MODULE } from "./build";

/** Longest that it may be, bytes. */
export const MODULE_LIMIT = 6500;

/** Build the module for a board; a byte a character, tokens among them. Throws UsageError where it is longer than its limit. */
export async function moduleBundle(board: string): Promise<string> {
  const { code } = await buildBundle({
    board,
    entry: TLS_MODULE,
    defines: { CONSOLE: false, PROVISIONING: false, UPDATES: false },
  });
  if (code.length > MODULE_LIMIT)
    throw new UsageError(
      `the module for ${board} has ${code.length} bytes, and ${MODULE_LIMIT} are the limit.`,
    );
  return code;
}
