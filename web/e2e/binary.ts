import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** A real `yagura serve` on free ports and a directory of its own. */
export class Yagura {
  readonly origin: string;
  private readonly child: ChildProcess;
  private readonly data: string;
  private readonly syslogTcp: { host: string; port: number };

  private constructor(child: ChildProcess, data: string, addresses: ReadonlyMap<string, string>) {
    this.child = child;
    this.data = data;
    this.origin = new URL(addresses.get("http") ?? "").origin;
    const tcp = new URL(`tcp://${addresses.get("syslog-tcp") ?? ""}`);
    this.syslogTcp = { host: tcp.hostname, port: Number(tcp.port) };
  }

  /** Starts the binary and waits until it says where it listens. */
  static async start(binary: string): Promise<Yagura> {
    const data = await mkdtemp(join(tmpdir(), "yagura-page-"));
    const any = "127.0.0.1:0";
    const child = spawn(binary, ["serve", "--data", data, "--http", any, "--syslog-tcp", any, "--syslog-udp", any], { stdio: ["ignore", "inherit", "pipe"] });
    const addresses = new Map<string, string>();
    const said: string[] = [];
    const lines = createInterface({ input: child.stderr });
    await new Promise<void>((ready, failed) => {
      child.once("error", failed);
      child.once("exit", (code) => {
        failed(new Error(`yagura serve ended with ${String(code)}:\n${said.join("\n")}`));
      });
      lines.on("line", (line) => {
        if (said.length < 1_000) said.push(line);
        const listening = /^listening (\S+) (\S+)$/.exec(line.trim());
        if (listening !== null) addresses.set(listening[1] ?? "", listening[2] ?? "");
        if (["http", "syslog-tcp", "syslog-udp"].every((kind) => addresses.has(kind))) ready();
      });
    });
    return new Yagura(child, data, addresses);
  }

  /** Sends messages over TCP with octet counting, so that a message may hold any byte. */
  async syslog(messages: readonly (string | Buffer)[]): Promise<void> {
    const socket = connect(this.syslogTcp);
    await new Promise<void>((sent, failed) => {
      socket.once("error", failed);
      socket.once("close", () => {
        sent();
      });
      for (const message of messages) {
        const bytes = Buffer.from(message);
        socket.write(`${bytes.length} `);
        socket.write(bytes);
      }
      socket.resume();
      socket.end();
    });
  }

  /** Ends it as a service manager would, and clears up. */
  async stop(): Promise<number | null> {
    const ended = new Promise<number | null>((done) => this.child.once("exit", done));
    if (this.child.exitCode === null) this.child.kill("SIGTERM");
    const code = this.child.exitCode ?? (await ended);
    await rm(this.data, { recursive: true, force: true });
    return code;
  }
}

/** An RFC 5424 line of now. */
export function line(host: string, app: string, message: string, priority = 38): string {
  return `<${priority}>1 ${new Date().toISOString()} ${host} ${app} 4711 - - ${message}`;
}
