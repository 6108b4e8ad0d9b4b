// A server of ours takes its port, or says in a sentence why it cannot.
import { createServer, type ListenOptions, type Server } from "node:net";
import { UsageError } from "./exit";
import { systemFault } from "./fault";

const FAULTS: Readonly<Record<string, string>> = {
  EADDRINUSE: "another program listens there already",
  EACCES: "it is not permitted",
  EADDRNOTAVAIL: "this machine has no such address",
  ENOTFOUND: "no such host is known",
};

/** Throw listen()'s UsageError where a port cannot be had: before anything takes long or asks. */
export async function checkPort(
  place: ListenOptions & { host: string; port: number },
  what: string,
): Promise<void> {
  const server = createServer();
  await listen(server, place, what);
  await new Promise((resolve) => server.close(resolve));
}

/** Listen; `what` begins the sentence of the UsageError that is thrown where it cannot be. */
export function listen(
  server: Server,
  place: ListenOptions & { host: string; port: number },
  what: string,
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const fault = FAULTS[error.code ?? ""] ?? systemFault(error);
      reject(new UsageError(`${what} cannot listen on ${place.host}:${place.port}: ${fault}.`));
    });
    server.listen(place, resolve);
  });
}
