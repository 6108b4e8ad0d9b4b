// What a Wi-Fi password may be (IEEE 802.11i, annex H.4.1): 8 to 63 printable characters, spaces at its ends too, or 64 hex digits, which
// are the key itself; none at all for an open network.

/** Say why a password is none, as the end of a sentence, or return undefined. */
export function wifiFault(password: string): string | undefined {
  if (password === "" || /^[0-9A-Fa-f]{64}$/.test(password)) return undefined;
  if (/[^ -~]/.test(password)) return "holds something else than printable ASCII, which WPA2 does not take";
  if (password.length < 8 || password.length > 63)
    return `has ${password.length} characters, and WPA2 takes 8 to 63, or 64 hex digits`;
  return undefined;
}
