// A bundle by itself in a board's Storage, for tests that do without loader, layout and key record: a line in the loader's
// place starts it, as the loader would, from slot 0.

/** Make the files of Storage that start `bundle`, one byte a character. */
export function loneBundle(bundle: string): Record<string, string> {
  return { ".slots": bundle, ".bootrst": 'slot=0;eval(require("Storage").read(".slots"))' };
}
