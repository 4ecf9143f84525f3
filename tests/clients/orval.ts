/* client - the operations that calls.ts uses, through orval's client `fetch`.
 *
 * Its answers are narrowed by `status`; answer() turns them into {data} or {error}. Its URLs are relative: fetch() is
 * replaced by one that resolves them. It sends and parses bytes as JSON, so bytes() replaces upload() and download().
 */
import * as api from './api.js';

const fetchFrom = globalThis.fetch;
globalThis.fetch = (url, init) => fetchFrom(new URL(String(url), process.env.GATHERD_URL), init);

type Answer = { status: number; data: unknown };
type Success = { status: 200 | 201 };

async function answer<A extends Answer>(pending: Promise<A>) {
    const { status, data } = await pending;
    return (status < 300 ? { data } : { error: data }) as
        | { data: Extract<A, Success>['data']; error?: undefined }
        | { data?: undefined; error: Exclude<A, Success>['data'] };
}

async function bytes<A extends Answer>(url: string, init?: RequestInit) {
    const response = await fetch(url, init);
    const json = response.headers.get('Content-Type') !== 'application/octet-stream';
    return { status: response.status, data: await (json ? response.json() : response.blob()) } as A;
}

export const gather = (body: Parameters<typeof api.gather>[0]) => answer(api.gather(body));
export const runTask = (body: api.TaskSpec) => answer(api.runTask(body));
export const runSleep = (body: api.SleepInput, query?: api.RunSleepParams) => answer(api.runSleep(body, query));
export const runBlock = (body: api.BlockInput, query?: api.RunBlockParams) => answer(api.runBlock(body, query));
export const runPrimes = (body: api.PrimesInput, query?: api.RunPrimesParams) => answer(api.runPrimes(body, query));
export const runWriteFile = (body: api.WriteFileInput) => answer(api.runWriteFile(body));
export const runReadFile = (body: api.ReadFileInput) => answer(api.runReadFile(body));
export const openFile = (body: Parameters<typeof api.openFile>[0]) => answer(api.openFile(body));
export const fileWrite = (handle: string, body: Parameters<typeof api.fileWrite>[1]) =>
    answer(api.fileWrite(handle, body));
export const closeFile = (handle: string) => answer(api.closeFile(handle));
export const fileScript = (body: Parameters<typeof api.fileScript>[0]) => answer(api.fileScript(body));
export const upload = (path: string, body: Blob) =>
    answer(bytes<api.uploadResponse>(api.getUploadUrl(path), { method: 'PUT', body }));
export const download = (path: string) => answer(bytes<api.downloadResponse>(api.getDownloadUrl(path)));
export const listFunctions = () => answer(api.listFunctions());
export const getFunction = (name: string) => answer(api.getFunction(name));
export const listPools = () => answer(api.listPools());
export const getLimits = () => answer(api.getLimits());
