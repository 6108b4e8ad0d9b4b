// The address space of a simulated chip: peripherals by their registers, and the RAM that E.getAddressOf
// gives addresses in. Time is counted in accesses: each peek or poke of a word is one step for every
// peripheral. An address with nothing behind it is an error at once, where a chip would stop. Leaves out
// caches, interrupts and 64-bit accesses.

export interface Peripheral {
  /** First address and length, bytes. */
  start: number;
  length: number;
  read(offset: number): number;
  write(offset: number, value: number): void;
  /** One access has passed, anywhere. */
  step?(): void;
}

export interface ByteRange {
  buffer: ArrayBuffer;
  offset: number;
}

export class Bus {
  private peripherals: Peripheral[] = [];
  private ranges: { start: number; buffer: ArrayBuffer }[] = [];
  private addresses = new WeakMap<ArrayBuffer, number>();
  private nextAddress: number;

  constructor(ramStart: number) {
    this.nextAddress = ramStart;
  }

  attach(...peripherals: Peripheral[]): void {
    this.peripherals.push(...peripherals);
  }

  /** Give a buffer its address; the same one each time. */
  addressOf(buffer: ArrayBuffer): number {
    let address = this.addresses.get(buffer);
    if (address === undefined) {
      address = this.nextAddress;
      this.nextAddress += (buffer.byteLength + 15) & ~15;
      this.addresses.set(buffer, address);
      this.ranges.push({ start: address, buffer });
    }
    return address;
  }

  /** Find `length` bytes of RAM at an address, as EasyDMA would. */
  ram(address: number, length: number): Uint8Array | undefined {
    for (const { start, buffer } of this.ranges) {
      if (address >= start && address + length <= start + buffer.byteLength) {
        return new Uint8Array(buffer, address - start, length);
      }
    }
    return undefined;
  }

  read(address: number, bytes = 4): number {
    for (const peripheral of this.peripherals) peripheral.step?.();
    const unsigned = address >>> 0;
    const peripheral = this.at(unsigned);
    if (peripheral) {
      const offset = unsigned - peripheral.start;
      const word = peripheral.read(offset & ~3) >>> 0;
      return bytes === 4 ? word : ((word >>> ((offset & 3) << 3)) & (bytes === 2 ? 0xffff : 0xff)) >>> 0;
    }
    const ram = this.ram(unsigned, bytes);
    if (!ram) throw new Error(`simulator: nothing to read at 0x${unsigned.toString(16)}`);
    let value = 0;
    for (let i = bytes; i--; ) value = value * 256 + ram[i];
    return value;
  }

  write(address: number, value: number, bytes = 4): void {
    for (const peripheral of this.peripherals) peripheral.step?.();
    const unsigned = address >>> 0;
    const peripheral = this.at(unsigned);
    if (peripheral) {
      if (bytes !== 4) throw new Error("simulator: registers are written as words");
      peripheral.write(unsigned - peripheral.start, value >>> 0);
      return;
    }
    const ram = this.ram(unsigned, bytes);
    if (!ram) throw new Error(`simulator: nothing to write at 0x${unsigned.toString(16)}`);
    for (let i = 0; i < bytes; i++) ram[i] = value >>> (i << 3);
  }

  private at(address: number): Peripheral | undefined {
    return this.peripherals.find(({ start, length }) => address >= start && address < start + length);
  }
}
