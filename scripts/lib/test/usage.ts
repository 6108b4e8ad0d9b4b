// Loaded before a test file by the runner (run.ts): at the file's end it tells how long that took, and the processor seconds of
// its process and of all that it started and waited for (proc(5), stat). Where there is no /proc, those of the process alone.
import { appendFileSync, readFileSync } from "node:fs";

/** What a file took, seconds. */
export interface Usage {
  file: string;
  wall: number;
  processor: number;
}

/** Linux tells times in ticks of this many a second (sysconf(3), _SC_CLK_TCK). */
const TICKS = 100;

/** Processor seconds of this process and of its children that have ended. */
export function processorSeconds(): number {
  try {
    const stat = readFileSync("/proc/self/stat", "utf8");
    // behind the name in brackets; utime, stime, cutime and cstime are fields 14 to 17
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields.slice(11, 15).reduce((sum, each) => sum + Number(each), 0) / TICKS;
  } catch {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  }
}

const [, file = ""] = process.argv;
const report = process.env.USAGE_FILE;
if (report && file.endsWith(".test.js"))
  process.on("exit", () => {
    const usage: Usage = { file, wall: performance.now() / 1000, processor: processorSeconds() };
    appendFileSync(report, `${JSON.stringify(usage)}\n`);
  });
