// Identity and key of the module `tls-psk`, in place of what a device of ours has in flash (store/key.ts, store/settings.ts): they come
// with each connect.
import type { Bytes } from "../bytes";

/** The pre-shared key, 16 bytes. */
export let key: Bytes;
let settings: { id?: string; ems?: number };

/** Take what the next handshake speaks for. */
export function useCredentials(identity: string, newKey: Bytes, ems: number | undefined): void {
  key = newKey;
  settings = { id: identity, ems: ems };
}

/** Give the settings that a handshake asks for. */
export function readSettings(): { id?: string; ems?: number } {
  return settings;
}
