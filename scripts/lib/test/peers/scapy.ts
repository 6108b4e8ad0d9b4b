/*
 * scapy's IPsec layer as a peer that nobody here wrote: it makes and opens packets of ESP in tunnel mode. One Python process with Debian's
 * python3-scapy, asked a line at a time (scapy_esp.py).
 */
import { join } from "node:path";
import type { Association } from "../../keys/esp_keys";
import { PROJECT } from "../../project";
import { runProgram } from "./process";

export interface Opened {
  sequence: number;
  src: string;
  dst: string;
  sport: number;
  dport: number;
  /** Whether IPv4's checksum is right. */
  isSummed: boolean;
  length: number;
  datagram: Buffer;
}

export class Scapy {
  private readonly program = runProgram({
    // Debian's own, which has Debian's scapy
    command: "/usr/bin/python3",
    args: [join(PROJECT, "scripts/lib/test/peers/scapy_esp.py")],
    input: "",
  });
  private readonly waiting: ((answer: Record<string, unknown>) => void)[] = [];

  constructor() {
    let rest = "";
    this.program.child.stdout?.on("data", (bytes) => {
      const lines = (rest + bytes).split("\n");
      rest = lines.pop() as string;
      for (const line of lines) this.waiting.shift()?.(JSON.parse(line));
    });
    void this.program.exited.then(() => {
      for (const answer of this.waiting.splice(0)) answer({ error: `it ended:\n${this.program.output()}` });
    });
  }

  private async ask(request: object): Promise<Record<string, unknown>> {
    const answer = await new Promise<Record<string, unknown>>((resolve) => {
      this.waiting.push(resolve);
      this.program.child.stdin?.write(`${JSON.stringify(request)}\n`);
    });
    if (answer.error) throw new Error(`scapy: ${answer.error}`);
    return answer;
  }

  /** Make a packet with a UDP datagram in the tunnel. */
  async seal(
    sa: Association,
    sequence: number,
    inner: { src: string; dst: string; port: number; datagram: Buffer },
  ) {
    const datagram = inner.datagram.toString("hex");
    const { packet } = await this.ask({ do: "seal", sa: hexOf(sa), sequence, ...inner, datagram });
    return Buffer.from(packet as string, "hex");
  }

  /** Open a packet, or reject with what scapy says. */
  async open(sa: Association, packet: Buffer): Promise<Opened> {
    const opened = await this.ask({ do: "open", sa: hexOf(sa), packet: packet.toString("hex") });
    return { ...opened, datagram: Buffer.from(opened.datagram as string, "hex") } as Opened;
  }

  stop(): Promise<void> {
    return this.program.stop();
  }
}

const hexOf = ({ key, beside, ...rest }: Association) => ({
  ...rest,
  key: key.toString("hex"),
  beside: beside.toString("hex"),
});
