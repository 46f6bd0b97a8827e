"""GPU memory: nearly used up, or the GPU that is configured is not there.

Symptom
    Used memory of a GPU is above its limit; or NVML sees no GPU although `ml.use_gpu` is true.

Diagnosis
    1. Who uses it?
           nvidia-smi; nvidia-smi --query-compute-apps=pid,used_memory,process_name --format=csv
    2. No GPU is seen: does the driver answer on the host, and inside the container?
           docker compose exec prediction-api nvidia-smi; dmesg | grep -i nvrm | tail
    3. Does the prediction service keep to its share (`ml.gpu_memory_fraction`)?

Correction, mildest first
    1. A process that should not be there: ask its owner, then end that one by its id.
    2. A smaller share or smaller batches (`ml.gpu_memory_fraction`, `ml.batch_size`), then restart the one service:
           docker compose restart prediction-api
    3. The driver is gone: reload it, or reboot the host in a maintenance window.

Last resort
    `ml.use_gpu` false: predictions on the CPU, slower but answering.

Verify
    pytest checks/ml/gpu.py
"""
