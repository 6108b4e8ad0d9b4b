// The shape of a board: types only, each field with its unit. A board is one file of data beside this one,
// named as its `name`; the build takes the drivers that it names and folds its numbers into the bundle, so
// every value the firmware reads is flat and literal. Leaves out what only the chip's own build of Espruino
// decides.

export interface FlashArea {
  /** What lies there. */
  name: string;
  /** First byte, from the start of the chip's flash, bytes. */
  start: number;
  /** Bytes. */
  length: number;
}

export interface Board {
  /** The data file's name without its ending. */
  name: string;
  /** Board id of Espruino: its file in Espruino's boards folder, and `process.env.BOARD`. */
  espruino: string;
  /** `info` for people: the chip, and what its Espruino must be built with beyond the default. */
  chip: string;
  /** Number of the hardware, 0..31: its bit in a manifest's mask (firmware/ota/manifest.ts). */
  hardware: number;
  /** On a simulated twin: the name of the board that it stands for. */
  simulates?: string;

  /** Driver files in hal/espruino, without ending; hal.ts has their interfaces. */
  aes128: "native_aes" | "esp32_aes" | "nrf_ecb";
  digest: "native_digest" | "own_digest";
  /** A true source of noise: `E.hwRand` is none of the choices, it has a fixed seed on most chips. */
  randomSource: "esp32_noise" | "esp32c3_noise" | "esp32s3_noise" | "nrf_rng" | "system_random";
  tcpSocket: "tcp_socket";
  network: "esp_wifi" | "w5500" | "no_network";
  flash: "storage";
  clock: "runtime_clock";
  system: "esp32_system" | "esp32c3_system" | "nrf_system" | "linux_system";
  serial: "console_port";

  /** Constants of firmware/profile.ts that are false in the whole firmware of this board: what its slot has no room for. */
  leavesOut?: string[];

  /** Min-entropy that the noise is credited with, bits per bit: 0.1, 0.3, 0.5 or 1 (firmware/README.md 2). */
  entropyPerBit: number;

  /** Global of Espruino's that is the console's port. */
  consolePort: "Serial1" | "USB";
  /** Bits per second; 0 where the port has no rate. */
  consoleBaud: number;

  /**
   * Pins that a product may use, names and ranges, `D0 D4-D5`: those of the chip without the flash's, the console's and the
   * W5500's. Of some only the level can be read: the chip's data sheet tells.
   */
  pins: string;
  /** Pins of the W5500: names as Espruino's. "" on boards without one. */
  spiMosi: string;
  spiMiso: string;
  spiSck: string;
  spiCs: string;
  /** Bits per second; 0 on boards without a W5500. */
  spiBaud: number;

  /** Variables that the interpreter has; 0: as many as the system's memory holds. */
  variables: number;
  /** Bytes of a variable. */
  variableBytes: number;
  /** Most bytes that a `data` event brings and a chunk of a write takes. */
  socketChunk: number;

  /** Flash that can be erased at once, bytes. */
  pageLength: number;
  /** Writes go to whole units of this many bytes; Storage aligns the start of a file's data to it. */
  writeLength: number;
  /** Whether the build has a Telnet server, which Espruino starts by itself. */
  telnet: boolean;
  /** Whether the build has `require("heatshrink")`: all but those that save on flash. */
  heatshrink: boolean;
  /** Flash of the chip, bytes. */
  flashLength: number;
  /** Address of the first byte of Storage, as `require("Flash")` counts. */
  storageStart: number;
  /** Bytes of Storage. */
  storageLength: number;
  /**
   * Address of the data of the file `.slots`, as `storageStart`: two slots of `slotBytes` (firmware/ota/slots.ts) in pages of
   * their own, which are erased without Storage, while the file's header, at the end of the page before, stays for ever.
   */
  slotsStart: number;
  /**
   * Bytes of a slot, whole pages: an image, its keys and its manifest. The firmware itself keeps to 16,384 on every board; what is
   * above that is room for a product.
   */
  slotBytes: number;
  /** Bytes of the file `conf`: a place of SETTINGS_PLACE (firmware/profile.ts) for the bench and for each change in the field. */
  settingsLength: number;
  /** Address of the first of the two halves of the journal (firmware/store/journal.ts), as `storageStart`; whole pages. */
  journalStart: number;
  /** Bytes of each half. */
  journalLength: number;
  /** What lies where; exactly one is called "storage", where Espruino's Storage keeps its files. */
  flashMap: FlashArea[];
}
