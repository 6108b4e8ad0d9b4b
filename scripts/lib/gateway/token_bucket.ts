// How many messages one sender may send: a bucket of tokens, a message takes one, and each second brings some anew. What is over is for whoever
// asks to hold back or to drop.
export interface Rate {
  /** Messages a second. */
  messagesPerSecond: number;
  /** Messages at once before that holds. */
  burst: number;
}

export class TokenBucket {
  private tokens: number;
  private at: number;

  /** `now`: milliseconds that only grow. */
  constructor(
    private readonly rate: Rate,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.tokens = rate.burst;
    this.at = now();
  }

  /** How long until the next message may come, milliseconds; 0: at once. */
  waitMs(): number {
    const { burst, messagesPerSecond } = this.rate;
    const now = this.now();
    this.tokens = Math.min(burst, this.tokens + ((now - this.at) / 1000) * messagesPerSecond);
    this.at = now;
    return this.tokens >= 1 ? 0 : ((1 - this.tokens) / messagesPerSecond) * 1000;
  }

  /** Take what a message costs, where `waitMs` is 0; it may leave a debt. */
  take(tokens = 1): void {
    this.tokens -= tokens;
  }
}
