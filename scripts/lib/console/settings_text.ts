// Settings as a technician types them: byte for byte, a space at the end of a value too; a Wi-Fi password held to what WPA2
// takes (IEEE 802.11, J.4.1) before it is sent; and from when on a changed setting counts. Shared by terminal, page and bench.
// Leaves out what the device itself refuses (firmware/store/settings.ts).

/** A line for the device without the spaces around it, but with those at the end of a setting's value. */
export function lineOf(typed: string): string {
  const line = typed.trimStart();
  return /^conf set \S+ /i.test(line) ? line.replace(/[\r\n]+$/, "") : line.trimEnd();
}

/** Say why a text is no password of an access point, or return undefined: 8 to 63 bytes, 64 hex digits, or none. */
export function passwordFault(password: string): string | undefined {
  const { length } = new TextEncoder().encode(password);
  if (length === 0 || (length >= 8 && length <= 63) || /^[0-9A-Fa-f]{64}$/.test(password)) return undefined;
  return `a Wi-Fi password has 8 to 63 bytes, or is a key of 64 hex digits; this one has ${length} bytes.`;
}

/** Say why a line sets what cannot be meant, or return undefined. */
export function settingFault(line: string): string | undefined {
  if (/^conf set ems 0*$/i.test(line))
    return "a server without extended_master_secret is taken where the device was provisioned so (bench and setup, --without-extended-master-secret), and not by a word at the console.";
  const [, password] = /^conf set pass (.*)$/is.exec(line) ?? [];
  return password === undefined ? undefined : passwordFault(password);
}

const EFFECTS: Readonly<Record<string, string>> = {
  host: "It counts from the next session; hs begins one now.",
  port: "It counts from the next session; hs begins one now.",
  ems: "It counts from the next session; hs begins one now.",
  ssid: "It counts when the device joins a network anew; reboot does so now.",
  pass: "It counts when the device joins a network anew; reboot does so now.",
  window: "It counts from now on.",
  battery: "It counts from now on.",
};

/** Say from when on the setting counts that a line has changed, or return undefined. */
export function settingEffect(line: string): string | undefined {
  const [, name] = /^conf set (\S+) /i.exec(line) ?? [];
  return name && EFFECTS[name];
}
