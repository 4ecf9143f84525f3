/* client - the operations that calls.ts uses, through openapi-typescript and openapi-fetch.
 *
 * POST() and its like infer the type of their argument, and so accept unknown members at the top level of a literal
 * body. A body of a declared type, as here, is checked.
 */
import createClient from 'openapi-fetch';
import type { operations, paths } from './api.js';

type Body<Operation extends keyof operations> =
    operations[Operation] extends { requestBody: { content: { 'application/json': infer T } } } ? T : never;
type Query<Operation extends keyof operations> = operations[Operation]['parameters']['query'];

const api = createClient<paths>({ baseUrl: process.env.GATHERD_URL });
const file = (path: string) => ({ path: { path } });
const opened = (handle: string) => ({ path: { handle } });

export const gather = (body: Body<'gather'>) => api.POST('/v1/gather', { body });
export const runTask = (body: Body<'runTask'>) => api.POST('/v1/tasks', { body });
export const runSleep = (body: Body<'runSleep'>, query?: Query<'runSleep'>) =>
    api.POST('/v1/run/sleep', { body, params: { query } });
export const runBlock = (body: Body<'runBlock'>, query?: Query<'runBlock'>) =>
    api.POST('/v1/run/block', { body, params: { query } });
export const runPrimes = (body: Body<'runPrimes'>, query?: Query<'runPrimes'>) =>
    api.POST('/v1/run/primes', { body, params: { query } });
export const runWriteFile = (body: Body<'runWriteFile'>) => api.POST('/v1/run/write_file', { body });
export const runReadFile = (body: Body<'runReadFile'>) => api.POST('/v1/run/read_file', { body });
export const openFile = (body: Body<'openFile'>) => api.POST('/v1/files', { body });
export const fileWrite = (handle: string, body: Body<'fileWrite'>) =>
    api.POST('/v1/files/{handle}/write', { body, params: opened(handle) });
export const closeFile = (handle: string) => api.DELETE('/v1/files/{handle}', { params: opened(handle) });
export const fileScript = (body: Body<'fileScript'>) => api.POST('/v1/files/script', { body });
export const upload = (path: string, body: Blob) =>
    api.PUT('/v1/fs/{path}', { body: body as unknown as string, params: file(path), bodySerializer: (bytes) => bytes });
export const download = (path: string) => api.GET('/v1/fs/{path}', { params: file(path), parseAs: 'blob' });
export const listFunctions = () => api.GET('/v1/functions');
export const getFunction = (name: string) => api.GET('/v1/functions/{name}', { params: { path: { name } } });
export const listPools = () => api.GET('/v1/pools');
export const getLimits = () => api.GET('/v1/limits');
