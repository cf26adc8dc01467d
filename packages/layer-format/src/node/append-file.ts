import { open, type FileHandle } from "node:fs/promises";

const BUFFER_BYTES = 1024 * 1024;

/** A new file that is written from its beginning to its end, in large pieces. */
export class AppendFile implements AsyncDisposable {
  readonly #handle: FileHandle;
  #full: Buffer[] = [];
  #buffer: Buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  /** Written, and free to be filled again. */
  #spare: Buffer | undefined;
  #used = 0;
  #bytes = 0;

  private constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /** Creates the file; one that is there already is an error. */
  static async create(path: string): Promise<AppendFile> {
    return new AppendFile(await open(path, "wx"));
  }

  /** Bytes appended so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Copies bytes. What has gathered is in memory until `drain`, so that is to be called after each piece of input. */
  append(bytes: Uint8Array): void {
    this.#bytes += bytes.length;
    for (let start = 0; start < bytes.length;) {
      const piece = bytes.subarray(start, start + BUFFER_BYTES - this.#used);
      this.#buffer.set(piece, this.#used);
      this.#used += piece.length;
      start += piece.length;
      if (this.#used < BUFFER_BYTES) return;
      this.#full.push(this.#buffer);
      this.#buffer = this.#spare ?? Buffer.allocUnsafeSlow(BUFFER_BYTES);
      this.#spare = undefined;
      this.#used = 0;
    }
  }

  /** Writes the pieces that are full. */
  async drain(): Promise<void> {
    for (const buffer of this.#full) {
      await this.#write(buffer);
      this.#spare = buffer;
    }
    this.#full = [];
  }

  /** Writes the rest and flushes the file to disk. */
  async finish(): Promise<void> {
    await this.drain();
    await this.#write(this.#buffer.subarray(0, this.#used));
    this.#used = 0;
    await this.#handle.sync();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let start = 0; start < bytes.length;) {
      const { bytesWritten } = await this.#handle.write(bytes, start);
      start += bytesWritten;
    }
  }
}
