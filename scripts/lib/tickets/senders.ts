// What each sender may ask of the ticket service, for one that asks without end starves the others: messages a second, and so many at once, by the
// topic's serial. What is over is dropped before anything is derived for it. Senders heard longest ago are forgotten, and begin with all again.
import { type Rate, TokenBucket } from "../gateway/token_bucket";

/** A device commands some times a second, and then says as much as it hears. */
export const RATE: Rate = { messagesPerSecond: 20, burst: 50 };
/** Senders that are kept: some 3 MB. */
const SENDERS = 10_000;

export class Senders {
  /** Longest ago first, as a Map keeps its order. */
  private readonly buckets = new Map<string, TokenBucket>();

  constructor(
    private readonly rate: Rate,
    private readonly now?: () => number,
  ) {}

  /** How many are kept. */
  get size(): number {
    return this.buckets.size;
  }

  /** Count a message; false where it is over the rate. */
  mayPass(sender: string): boolean {
    const bucket = this.buckets.get(sender) ?? new TokenBucket(this.rate, this.now);
    this.buckets.delete(sender);
    this.buckets.set(sender, bucket);
    if (this.buckets.size > SENDERS) this.buckets.delete(this.buckets.keys().next().value as string);
    if (bucket.waitMs()) return false;
    bucket.take();
    return true;
  }
}
