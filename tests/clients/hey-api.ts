/* client - the operations that calls.ts uses, through @hey-api/openapi-ts. */
import { client } from './api/client.gen.js';
import * as api from './api/index.js';

client.setConfig({ baseUrl: process.env.GATHERD_URL });

export const gather = (body: api.GatherData['body']) => api.gather({ body });
export const runTask = (body: api.RunTaskData['body']) => api.runTask({ body });
export const runSleep = (body: api.RunSleepData['body'], query?: api.RunSleepData['query']) =>
    api.runSleep({ body, query });
export const runBlock = (body: api.RunBlockData['body'], query?: api.RunBlockData['query']) =>
    api.runBlock({ body, query });
export const runPrimes = (body: api.RunPrimesData['body'], query?: api.RunPrimesData['query']) =>
    api.runPrimes({ body, query });
export const runWriteFile = (body: api.RunWriteFileData['body']) => api.runWriteFile({ body });
export const runReadFile = (body: api.RunReadFileData['body']) => api.runReadFile({ body });
export const openFile = (body: api.OpenFileData['body']) => api.openFile({ body });
export const fileWrite = (handle: string, body: api.FileWriteData['body']) =>
    api.fileWrite({ path: { handle }, body });
export const closeFile = (handle: string) => api.closeFile({ path: { handle } });
export const fileScript = (body: api.FileScriptData['body']) => api.fileScript({ body });
export const upload = (path: string, body: Blob) => api.upload({ path: { path }, body });
export const download = (path: string) => api.download({ path: { path } });
export const listFunctions = () => api.listFunctions();
export const getFunction = (name: string) => api.getFunction({ path: { name } });
export const listPools = () => api.listPools();
export const getLimits = () => api.getLimits();
