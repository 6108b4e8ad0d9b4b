// Espruino for Linux: native crypto, the system's noise and network, Storage in a file of the working folder.
// A 32-bit build with a fixed number of variables has the boards' memory layout (12-byte variables up to
// 2,047).
import type { Board } from "./board";

export const board: Board = {
  name: "linux",
  espruino: "LINUX",
  chip: "any",
  hardware: 4,
  aes128: "native_aes",
  digest: "native_digest",
  randomSource: "system_random",
  tcpSocket: "tcp_socket",
  network: "no_network",
  flash: "storage",
  clock: "runtime_clock",
  system: "linux_system",
  serial: "console_port",
  entropyPerBit: 1,
  consolePort: "USB",
  consoleBaud: 0,
  pins: "D0-D31",
  spiMosi: "",
  spiMiso: "",
  spiSck: "",
  spiCs: "",
  spiBaud: 0,
  variables: 0,
  variableBytes: 27,
  socketChunk: 536,
  pageLength: 1024,
  writeLength: 1,
  telnet: false,
  heatshrink: true,
  flashLength: 0x40000,
  storageStart: 0x10000000,
  storageLength: 0x3e000,
  slotsStart: 0x10001000,
  slotBytes: 32768,
  settingsLength: 3840,
  // behind Storage in its own flash: the last 8 KB, which Storage would reach last
  journalStart: 0x1003e000,
  journalLength: 4096,
  flashMap: [
    { name: "storage", start: 0x0, length: 0x3e000 },
    { name: "journal", start: 0x3e000, length: 0x2000 },
  ],
};
