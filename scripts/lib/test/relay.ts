/*
 * A middle man on 127.0.0.1 for tests: passes bytes between a client and a server and may change them on the way.
 */
import { connect, createServer, type Socket } from "node:net";

export type Direction = "to server" | "to client";

/** Change bytes on their way; `offset` is that of the first of them in this direction of this connection. */
export type Edit = (direction: Direction, bytes: Buffer, offset: number) => Buffer;

export interface Relay {
  port: number;
  /** End every connection that is open. */
  cut(): void;
  stop(): Promise<void>;
}

/** Start a relay in front of a port of 127.0.0.1. `ended`: told as a connection ends, by whichever side. */
export async function startRelay(
  serverPort: number,
  edit: Edit,
  ended: () => void = () => {},
): Promise<Relay> {
  const sockets: Socket[] = [];
  const relay = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const server = connect({ port: serverPort, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    pass(client, server, "to server");
    pass(server, client, "to client");
  });

  function pass(from: Socket, to: Socket, direction: Direction): void {
    let offset = 0;
    sockets.push(from);
    from.on("data", (bytes) => {
      if (!to.destroyed) to.write(edit(direction, bytes, offset));
      offset += bytes.length;
    });
    from.on("end", () => {
      ended();
      to.end();
    });
    from.on("error", () => {
      ended();
      to.destroy();
    });
    from.on("close", () => to.destroyed || to.end());
  }

  await new Promise<void>((resolve) => relay.listen(0, "127.0.0.1", resolve));
  const cut = () => {
    for (const socket of sockets.splice(0)) socket.destroy();
  };
  return {
    port: (relay.address() as { port: number }).port,
    cut,
    async stop() {
      cut();
      await new Promise((resolve) => relay.close(resolve));
    },
  };
}
