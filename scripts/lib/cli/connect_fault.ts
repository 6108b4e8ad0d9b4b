// Why a TCP connection did not come about or broke off, in words, for every command that makes one.
// Leaves out: alerts of TLS (error_text.ts), serial ports (bench/port.ts).
import { systemFault } from "./fault";

const FAULTS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there",
  ECONNRESET: "it hung up",
  EPIPE: "it hung up",
  ENOTFOUND: "no such host is known",
  EAI_AGAIN: "no such host is known, or no name server answers",
  EHOSTUNREACH: "there is no way to it",
  ENETUNREACH: "there is no way to it",
  ETIMEDOUT: "it does not answer",
};

/** Say in words why a connection failed. */
export function connectFault(error: NodeJS.ErrnoException): string {
  return FAULTS[error.code ?? ""] ?? systemFault(error);
}
